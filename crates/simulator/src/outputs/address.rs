//! Addresses and bucket keys of outputs, in the forms that vendors' have, and how they are read again.

use std::net::SocketAddr;

use percent_encoding::percent_decode_str;

use crate::settings::AddressForm;
use crate::world::Vendor;

/// Before every address of an output.
const ROOT: &str = "_files";
/// Characters of a Tencent job's id.
const UUID: usize = 36;

/// The address of a task's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) vendor: Vendor,
    pub(crate) task: String,
    /// Which of the addresses that the output had one after the other.
    pub(crate) generation: u32,
    /// Until when it serves, in ms since 1970; 0 for ever.
    pub(crate) until: u64,
    pub(crate) name: String,
}

impl Address {
    pub(crate) fn write(&self, at: SocketAddr, form: AddressForm) -> String {
        let Self { vendor, task, generation, until, name } = self;
        let name = decorated(name, form);
        let host = match form {
            AddressForm::HostName => format!("LOCALHOST:{}", at.port()),
            _ => at.to_string(),
        };
        let path = match form {
            AddressForm::Slashes => format!("{ROOT}/{}//{task}/{generation}/{until}//{name}", vendor.name()),
            _ => format!("{ROOT}/{}/{task}/{generation}/{until}/{name}", vendor.name()),
        };
        match form {
            AddressForm::UpperCase => format!("HTTP://{host}/{path}"),
            AddressForm::LineFeed => format!("  \thttp://{host}/{path} \n"),
            AddressForm::Query => format!(
                "http://{host}/{path}?response-content-disposition=attachment; filename=\"my song [1].mp3\"&sign=a+b/c==|{{}}^100%&片=段"
            ),
            _ => format!("http://{host}/{path}"),
        }
    }

    /// Reads the path of a request, however it was encoded.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        let path = decoded(path);
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        parts.next().filter(|root| *root == ROOT)?;
        let vendor = parts.next()?;
        let vendor = Vendor::ALL.into_iter().find(|known| known.name() == vendor)?;
        let task = parts.next()?.to_owned();
        let generation = parts.next()?.parse().ok()?;
        let until = parts.next()?.parse().ok()?;
        Some(Self { vendor, task, generation, until, name: parts.next_back()?.trim().to_owned() })
    }
}

/// The key that a song has in Tencent's bucket, below the folder of its job.
pub(crate) fn key(prefix: &str, task: &str, name: &str, form: AddressForm) -> String {
    let name = decorated(&format!("{task}-{name}"), form);
    match form {
        AddressForm::Slashes => format!("{prefix}a//{name}"),
        AddressForm::LineFeed => format!(" {prefix}{name} \n"),
        AddressForm::Query => format!("{prefix}a?b&c=d+e;f {name}"),
        _ => format!("{prefix}{name}"),
    }
}

/// The job whose id stands at the end of what stands before a file's name.
pub(crate) fn task_of(before: &str) -> Option<&str> {
    let before = before.strip_suffix('-')?;
    before.get(before.len().checked_sub(UUID)?..)
}

/// Text without percent encoding; what encodes nothing stays.
pub(crate) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn decorated(name: &str, form: AddressForm) -> String {
    match form {
        AddressForm::Blanks => format!("my song (final) [v2] {name}"),
        AddressForm::Percent => format!("100% pure|mix {name}"),
        AddressForm::NonAscii => format!("雪の夜 é {name}"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_again_as_written_and_as_encoded() {
        let name = "00000000000000aa-3000.mp3";
        let (vendor, task) = (Vendor::SenseAudio, "0a-1".to_owned());
        let address = Address { vendor, task, generation: 3, until: 7, name: name.into() };
        for form in AddressForm::ODD {
            let text = address.write(SocketAddr::from(([127, 0, 0, 1], 80)), form);
            let (_, path) = text.trim().split_once("80/").unwrap();
            let path = format!("/{}", path.split('?').next().unwrap());
            let encoded = percent_encoding::utf8_percent_encode(&path, percent_encoding::CONTROLS);
            for path in [path.clone(), encoded.to_string().replace(' ', "%20"), format!("{path}%0A%20")] {
                let read = Address::of_path(&path).unwrap();
                assert!(read.name.ends_with(name), "{form:?}: {read:?}");
                assert_eq!(Address { name: name.into(), ..read }, address, "{form:?}");
            }
        }
    }
}
