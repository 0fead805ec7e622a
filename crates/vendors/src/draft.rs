//! A plan in the making: collects everything that is wrong with a request and everything that is left out.

use serde::de::DeserializeOwned;
use serde_json::Value;
use songmill_core::flow::Size;
use songmill_core::job::StepKind;
use songmill_core::song::{Change, Field, Invalid};
use songmill_core::{Fault, FaultKind, SongRequest};

use crate::contract::{Address, Card, Plan};
use crate::data_url::DataUrl;
use crate::tolerant::{Object, address};

/// A plan in the making.
pub(crate) struct Draft<'a> {
    card: &'a Card,
    song: &'a SongRequest,
    wrong: Invalid,
    dropped: Vec<Field>,
    changes: Vec<Change>,
    addresses: Vec<Address>,
}

impl<'a> Draft<'a> {
    /// Begins a plan: fields that the card does not honour, and a count above what one task makes, are left
    /// out or, where they are required, are problems.
    pub(crate) fn new(card: &'a Card, song: &'a SongRequest) -> Self {
        let mut draft = Self {
            card,
            song,
            wrong: Invalid::default(),
            dropped: Vec::new(),
            changes: Vec::new(),
            addresses: Vec::new(),
        };
        for field in Field::ALL {
            let known = card.honours.contains(&field) || field == Field::Count;
            if song.has(field) && !known {
                draft.leave_out(field, &format!("cannot be honoured by {}", card.title));
            }
        }
        if let Some(language) = &song.language
            && card.honours.contains(&Field::Language)
            && !card.languages.contains(&language.as_str())
        {
            let fault =
                format!("is {language}, and {} is known for {}", card.title, card.languages.join(", "));
            draft.leave_out(Field::Language, &fault);
        }
        if song.songs() > card.most_songs {
            let fault =
                format!("is {}, and one task of {} makes {}", song.songs(), card.title, card.most_songs);
            draft.leave_out(Field::Count, &fault);
        }
        draft
    }

    /// Leaves a neutral field out, or notes a problem when the caller requires it.
    pub(crate) fn leave_out(&mut self, field: Field, fault: &str) {
        if self.song.require.contains(&field) {
            let fix = "leave it out of require, change it, or choose another vendor";
            self.wrong.push(field.as_str(), fault, fix);
        } else if !self.dropped.contains(&field) {
            self.dropped.push(field);
        }
    }

    /// Notes what is changed in the request before it is sent.
    pub(crate) fn changed(&mut self, changes: impl IntoIterator<Item = Change>) {
        self.changes.extend(changes);
    }

    /// Notes a problem with a neutral field.
    pub(crate) fn wrong(&mut self, field: Field, fault: impl Into<String>, fix: impl Into<String>) {
        self.wrong.push(field.as_str(), fault, fix);
    }

    /// Notes a problem with one of the vendor's own fields.
    pub(crate) fn wrong_option(&mut self, key: &str, fault: impl Into<String>, fix: impl Into<String>) {
        self.wrong.push(self.path(key), fault, fix);
    }

    /// Notes a problem with a field by its path.
    pub(crate) fn wrong_at(&mut self, path: &str, fault: impl Into<String>, fix: impl Into<String>) {
        self.wrong.push(path, fault, fix);
    }

    /// Notes a problem when a number of the vendor's own lies outside its range; the ends belong to it.
    pub(crate) fn range<N: PartialOrd + std::fmt::Display>(
        &mut self,
        key: &str,
        value: Option<N>,
        least: N,
        most: N,
    ) {
        if let Some(value) = value
            && !(least <= value && value <= most)
        {
            self.wrong_option(key, format!("is {value}"), format!("use {least} to {most}"));
        }
    }

    /// Reads the vendor's own fields; `T` denies unknown fields and every field of it has a default.
    ///
    /// Each field that is unknown or of a wrong form is a problem by its name and is left out of what is returned.
    pub(crate) fn options<T: DeserializeOwned + Default>(&mut self) -> T {
        let Some(given) = self.song.options.get(&self.card.name) else { return T::default() };
        let mut good = Object::new();
        for (key, value) in given {
            let alone = Object::from_iter([(key.clone(), value.clone())]);
            let Err(error) = serde_path_to_error::deserialize::<_, T>(Value::Object(alone)) else {
                good.insert(key.clone(), value.clone());
                continue;
            };
            let cause = error.inner().to_string();
            let at = error.path().to_string();
            match cause.strip_prefix("unknown field ").and_then(|rest| rest.split_once(", expected ")) {
                Some((name, expected)) if at == "." || at == *key && name.trim_matches('`') == key => {
                    let fix = format!("use {}", expected.replace('`', ""));
                    self.wrong_option(key, format!("is no field of {}", self.card.title), fix);
                }
                _ => {
                    let path = if at == "." { key.clone() } else { at };
                    let cause = songmill_core::json::fault(error.inner());
                    self.wrong_option(&path, cause, "see `songmill schema` for the vendor's own fields");
                }
            }
        }
        serde_json::from_value(Value::Object(good)).unwrap_or_default()
    }

    /// The plan with these steps, or everything that is wrong.
    pub(crate) fn finish(mut self, steps: &[StepKind], size: Size) -> Result<Plan, Invalid> {
        self.wrong.none_or_err()?;
        self.dropped.sort_unstable();
        let Self { dropped, changes, addresses, .. } = self;
        Ok(Plan { steps: steps.to_vec(), dropped, changes, size, addresses })
    }

    /// Nothing, or why a submission is not sent: the request does not pass the plan.
    pub(crate) fn fault_if_wrong(self) -> Result<(), Fault> {
        self.wrong
            .none_or_err()
            .map_err(|wrong| Fault::from_vendor(FaultKind::Rejected, "request_refused", wrong.to_string()))
    }

    /// Checks an address of reference audio: `https:`, `http:`, or a `data:` address that can be read.
    pub(crate) fn reference(&mut self, field: &str, url: &str) {
        let fault = if url.starts_with("data:") {
            DataUrl::parse(url)
                .is_none()
                .then_some("is a data address that cannot be read as base 64 of audio")
        } else {
            self.addresses.push(Address { field: field.to_owned(), url: url.to_owned() });
            address(url).is_none().then_some("is no http or https address")
        };
        if let Some(fault) = fault {
            self.wrong.push(field, fault, "use an https: address or data:audio/wav;base64,…");
        }
    }

    /// The path of one of the vendor's own fields.
    pub(crate) fn path(&self, key: &str) -> String {
        format!("options.{}.{key}", self.card.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Options {
        speed: Option<u32>,
        shade: Option<Shade>,
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Shade {
        Light,
        Dark,
    }

    fn card() -> Card {
        Card {
            name: songmill_core::VendorName::new("acme").unwrap(),
            title: "Acme",
            honours: &[Field::Prompt],
            languages: &[],
            most_songs: 2,
            calls_back: false,
            policy: Default::default(),
            model: String::new(),
            options: Default::default(),
            estimate: crate::contract::estimate(songmill_core::Price::NOTHING, "a test"),
            links: crate::contract::Links { billing: "", keys: "" },
        }
    }

    fn song(json: &str) -> SongRequest {
        SongRequest::from_json(json.as_bytes()).unwrap()
    }

    #[test]
    fn every_bad_option_is_named_and_good_ones_are_kept() {
        let song = song(r#"{"prompt":"p","options":{"acme":{"sped":1,"speed":"x","shade":"dark"}}}"#);
        let card = card();
        let mut draft = Draft::new(&card, &song);
        assert_eq!(draft.options::<Options>(), Options { speed: None, shade: Some(Shade::Dark) });
        draft.range("speed", Some(11), 1, 10);
        let invalid = draft.finish(&[StepKind::Song], Size::default()).unwrap_err();
        let lines: Vec<_> = invalid.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "options.acme.sped: is no field of Acme; use speed or shade",
                "options.acme.speed: is \"x\": write a whole number; see `songmill schema` for the vendor's own fields",
                "options.acme.speed: is 11; use 1 to 10",
            ]
        );
    }

    #[test]
    fn what_cannot_be_honoured_is_dropped_or_refused() {
        let card = card();
        let preferred = song(r#"{"prompt":"p","mood":"m","seed":1,"count":3}"#);
        let plan = Draft::new(&card, &preferred).finish(&[StepKind::Song], Size::default()).unwrap();
        assert_eq!(plan.dropped, [Field::Mood, Field::Seed, Field::Count]);
        let required = song(r#"{"prompt":"p","mood":"m","count":3,"require":["mood","count"]}"#);
        let invalid = Draft::new(&card, &required).finish(&[StepKind::Song], Size::default()).unwrap_err();
        assert_eq!(invalid.problems.iter().map(|p| &*p.field).collect::<Vec<_>>(), ["mood", "count"]);
        assert!(
            Draft::new(&card, &song(r#"{"prompt":"p","count":2}"#))
                .finish(&[], Size::default())
                .unwrap()
                .dropped
                .is_empty()
        );
    }
}
