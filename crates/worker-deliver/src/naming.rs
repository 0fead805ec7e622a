//! Where audio lies in storage: for people, in safe names, and no other job's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use songmill_core::{Job, Output};

/// How paths in storage are made up: text with placeholders, such as `{tenant}/{batch}/{job}/{n}-{title}.{ext}`.
///
/// Where a placeholder has no value it leaves nothing behind: neither the dash beside it nor an empty folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Layout {
    text: String,
    folders: Vec<Vec<Piece>>,
    shared: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Tenant,
    Batch,
    Job,
    CustomId,
    Vendor,
    Date,
    N,
    Part,
    Title,
    Sha256,
    Ext,
}

const FIELDS: [(&str, Field); 11] = [
    ("tenant", Field::Tenant),
    ("batch", Field::Batch),
    ("job", Field::Job),
    ("custom_id", Field::CustomId),
    ("vendor", Field::Vendor),
    ("date", Field::Date),
    ("n", Field::N),
    ("part", Field::Part),
    ("title", Field::Title),
    ("sha256", Field::Sha256),
    ("ext", Field::Ext),
];

/// What a path is made up of besides the job.
#[derive(Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) output: &'a Output,
    /// Its number within the job, from 1, of so many.
    pub(crate) n: usize,
    pub(crate) of: usize,
    pub(crate) title: Option<&'a str>,
    pub(crate) sha256: &'a str,
    pub(crate) ext: &'a str,
}

/// Why a layout cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLayout {
    /// It has a placeholder that does not exist.
    #[error(
        "there is no {{{0}}}; there are {{tenant}} {{batch}} {{job}} {{custom_id}} {{vendor}} {{date}} {{n}} {{part}} {{title}} {{sha256}} {{ext}}"
    )]
    Unknown(String),
    /// A brace is not closed.
    #[error("a brace is not closed")]
    Open,
    /// A character that not every storage takes.
    #[error("{0:?} cannot be in a path; letters, digits and . _ - @ = + can")]
    Character(char),
    /// Two jobs could have the same path.
    #[error("jobs would overwrite each other: it needs {{job}} and {{n}}, or {{tenant}} and {{sha256}}")]
    NotUnique,
    /// A name could become longer than file systems take.
    #[error("a name could become too long: spread its placeholders over folders")]
    TooLong,
    /// It would have songs look like those of a tenant.
    #[error("a path must not begin with @: the folders of tenants do")]
    Tenants,
    /// The kind of file is not to be seen.
    #[error("it must end in .{{ext}}")]
    NoExtension,
}

impl Default for Layout {
    fn default() -> Self {
        "{tenant}/{batch}/{custom_id}-{job}-{n}-{part}.{ext}".parse().expect("the default is well formed")
    }
}

impl FromStr for Layout {
    type Err = BadLayout;

    fn from_str(text: &str) -> Result<Self, BadLayout> {
        let folders: Vec<_> = text.split('/').map(pieces).collect::<Result<_, _>>()?;
        let has = |field| folders.iter().flatten().any(|piece| *piece == Piece::Field(field));
        let shared = has(Field::Sha256) && !has(Field::Job);
        let is_unique = if shared { has(Field::Tenant) } else { has(Field::Job) && has(Field::N) };
        if !is_unique {
            return Err(BadLayout::NotUnique);
        }
        if begins_as_tenants(&folders) {
            return Err(BadLayout::Tenants);
        }
        let last = folders.last().map_or(&[][..], Vec::as_slice);
        if !matches!(last, [_, .., Piece::Text(dot), Piece::Field(Field::Ext)] if dot.ends_with('.')) {
            return Err(BadLayout::NoExtension);
        }
        let longest = |folder: &Vec<Piece>| folder.iter().map(Piece::longest).sum::<usize>();
        if folders.iter().any(|folder| longest(folder) > NAME) {
            return Err(BadLayout::TooLong);
        }
        Ok(Self { text: text.to_owned(), folders, shared })
    }
}

impl TryFrom<String> for Layout {
    type Error = BadLayout;

    fn try_from(text: String) -> Result<Self, BadLayout> {
        text.parse()
    }
}

impl From<Layout> for String {
    fn from(layout: Layout) -> Self {
        layout.text
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The most bytes of a name: file systems take 255, and a sidecar's is longer by five.
const NAME: usize = 245;
/// The most bytes of what people have written.
const SLUG: usize = 60;

fn pieces(folder: &str) -> Result<Vec<Piece>, BadLayout> {
    let mut pieces = Vec::new();
    let mut rest = folder;
    while !rest.is_empty() {
        let (text, field) = rest.split_once('{').map_or((rest, None), |(text, field)| (text, Some(field)));
        if let Some(odd) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !"._-@=+".contains(*c)) {
            return Err(BadLayout::Character(odd));
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
        let Some(field) = field else { break };
        let (name, after) = field.split_once('}').ok_or(BadLayout::Open)?;
        let known = FIELDS.iter().find(|(known, _)| *known == name);
        pieces.push(Piece::Field(known.ok_or_else(|| BadLayout::Unknown(name.to_owned()))?.1));
        rest = after;
    }
    Ok(pieces)
}

/// Whether a path can begin with an @ that no tenant's name follows: where placeholders before it have no value.
fn begins_as_tenants(folders: &[Vec<Piece>]) -> bool {
    for piece in folders.iter().flatten() {
        match piece {
            Piece::Text(text) => match text.trim_start_matches(['.', '-']) {
                "" => {}
                text => return text.starts_with('@'),
            },
            Piece::Field(Field::Tenant | Field::CustomId | Field::N | Field::Part | Field::Title) => {}
            Piece::Field(
                Field::Batch | Field::Job | Field::Vendor | Field::Date | Field::Sha256 | Field::Ext,
            ) => return false,
        }
    }
    false
}

impl Piece {
    fn longest(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Field(field) => match field {
                Field::CustomId | Field::Part | Field::Title => SLUG,
                Field::Tenant | Field::Batch | Field::Vendor | Field::Sha256 => 64,
                Field::Job => 32,
                Field::Date => 10,
                Field::N | Field::Ext => 4,
            },
        }
    }
}

impl Layout {
    /// Whether equal audio of different jobs has one path.
    pub(crate) const fn is_shared(&self) -> bool {
        self.shared
    }

    /// The path of a job's audio.
    pub(crate) fn path(&self, job: &Job, named: Named<'_>) -> String {
        let folders = self.folders.iter().map(|folder| {
            let name: String = folder
                .iter()
                .map(|piece| match piece {
                    Piece::Text(text) => text.clone(),
                    Piece::Field(field) => field.value(job, named),
                })
                .collect();
            tidy(&name)
        });
        let mut folders: Vec<String> = folders.filter(|folder| !folder.is_empty()).collect();
        if let Some(name) = folders.last_mut()
            && !name.contains('.')
        {
            // None of its placeholders has a value but the last.
            *name = format!("song.{name}");
        }
        folders.join("/")
    }
}

impl Field {
    fn value(self, job: &Job, named: Named<'_>) -> String {
        match self {
            // No batch's name begins so: the songs of a tenant stand apart from those of a batch of its name.
            Self::Tenant if job.tenant.is_default() => String::new(),
            Self::Tenant => format!("@{}", job.tenant),
            Self::Batch => job.batch.as_ref().map_or("single", |batch| batch.as_str()).to_owned(),
            Self::Job => job.id.to_string(),
            Self::CustomId => job.custom_id.as_deref().map(slug).unwrap_or_default(),
            Self::Vendor => job.vendor().to_string(),
            Self::Date => day(job.created.as_millis()),
            Self::N if named.of > 1 => named.n.to_string(),
            Self::N => String::new(),
            Self::Part => named.output.part.as_deref().map(slug).unwrap_or_default(),
            Self::Title => named.title.map(slug).unwrap_or_default(),
            Self::Sha256 => named.sha256.to_owned(),
            Self::Ext => named.ext.to_owned(),
        }
    }
}

fn day(millis: u64) -> String {
    let at = jiff::Timestamp::from_millisecond(millis.cast_signed()).unwrap_or_default();
    at.strftime("%Y-%m-%d").to_string()
}

/// Letters and digits of any language; what else there is becomes a dash.
fn slug(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(SLUG)];
    let kept: String = text.chars().map(|c| if c.is_alphanumeric() || c == '_' { c } else { '-' }).collect();
    kept.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

/// Without what placeholders leave behind that have no value, and never hidden or a way up.
fn tidy(name: &str) -> String {
    let mut name = name.to_owned();
    while name.contains("--") {
        name = name.replace("--", "-");
    }
    name.replace("-.", ".").trim_matches('-').trim_start_matches(['.', '-']).to_owned()
}

#[cfg(test)]
mod tests {
    use songmill_core::job::{Route, StepKind};
    use songmill_core::{BatchName, JobId, Tenant, Timestamp, VendorName};

    use super::*;

    fn job() -> Job {
        let route = Route::new(VendorName::new("v").unwrap(), vec![StepKind::Song]);
        let now = Timestamp::default();
        Job::new(JobId::derive("s", "a"), vec![route], now, now)
    }

    fn path(layout: &str, job: &Job, part: Option<&str>, n: usize, of: usize) -> String {
        let output = Output { part: part.map(str::to_owned), ..Output::at("https://a") };
        let named =
            Named { output: &output, n, of, title: Some("Summer / Night"), sha256: "00ff", ext: "mp3" };
        layout.parse::<Layout>().unwrap().path(job, named)
    }

    #[test]
    fn paths_are_for_people_and_differ_between_jobs_and_outputs() {
        let usual = Layout::default().to_string();
        let mut job = job();
        let id = job.id.to_string();
        assert_eq!(path(&usual, &job, None, 1, 1), format!("single/{id}.mp3"));
        job.custom_id = Some("../../etc/夏 夜".into());
        job.batch = Some(BatchName::new("album").unwrap());
        assert_eq!(path(&usual, &job, Some("vocal"), 2, 3), format!("album/etc-夏-夜-{id}-2-vocal.mp3"));
        job.tenant = Tenant::new("acme").unwrap();
        job.batch = Some(BatchName::new("..").unwrap());
        assert_eq!(path(&usual, &job, None, 1, 1), format!("@acme/etc-夏-夜-{id}.mp3"));
        job.batch = Some(BatchName::new(".incoming").unwrap());
        assert!(path(&usual, &job, None, 1, 1).starts_with("@acme/incoming/"));
        assert_eq!(path("{job}/{n}-{part}.{ext}", &job, None, 1, 1), format!("{id}/song.mp3"));
        let layout = "{tenant}/{date}/{job}/{n}-{title}.{ext}";
        assert_eq!(path(layout, &job, None, 2, 2), format!("@acme/1970-01-01/{id}/2-Summer-Night.mp3"));
    }

    #[test]
    fn no_name_is_longer_than_file_systems_take() {
        let mut job = job();
        job.custom_id = Some("夏".repeat(600));
        let path = path(&Layout::default().to_string(), &job, Some(&"夜".repeat(600)), 100, 100);
        assert!(path.split('/').all(|name| name.len() <= NAME), "{path}");
    }

    #[test]
    fn equal_audio_can_have_one_path_within_a_tenant() {
        let layout: Layout = "{tenant}/by-content/{sha256}.{ext}".parse().unwrap();
        assert!(layout.is_shared() && !Layout::default().is_shared());
        assert_eq!(path(&layout.to_string(), &job(), None, 1, 1), "by-content/00ff.mp3");
    }

    #[test]
    fn a_layout_that_would_lose_audio_is_refused() {
        let refused = |text: &str| text.parse::<Layout>().unwrap_err();
        assert_eq!(refused("{batch}/{title}.{ext}"), BadLayout::NotUnique);
        assert_eq!(refused("{batch}/{job}.{ext}"), BadLayout::NotUnique);
        assert_eq!(refused("{sha256}.{ext}"), BadLayout::NotUnique);
        assert_eq!(refused("{job}-{n}"), BadLayout::NoExtension);
        assert_eq!(refused("{jobs}/{n}.{ext}"), BadLayout::Unknown("jobs".into()));
        assert_eq!(refused("{job/{n}.{ext}"), BadLayout::Open);
        for begins in
            ["@{batch}/{job}-{n}.{ext}", "{tenant}/-@all/{job}/{n}.{ext}", "{title}@{job}-{n}.{ext}"]
        {
            assert_eq!(refused(begins), BadLayout::Tenants, "{begins}");
        }
        assert!("{tenant}/{batch}/@{job}-{n}.{ext}".parse::<Layout>().is_ok());
        assert_eq!(refused("{job} {n}.{ext}"), BadLayout::Character(' '));
        assert_eq!(refused("{title}{title}{title}{title}-{job}-{n}.{ext}"), BadLayout::TooLong);
    }
}
