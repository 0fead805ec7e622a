//! Names of exported files for people: a template in which fields stand in braces, made fit for every file system.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::BufRead as _;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Result;
use songmill_core::JobId;
use songmill_core::view::AssetView;
use unicode_normalization::UnicodeNormalization as _;

use super::files::{is_there, plain_ending};
use super::manifest::Earlier;
use crate::printable::acts;

/// How files are named where nobody says otherwise.
pub(crate) const TEMPLATE: &str = "{index:03} {title}{n}.{ext}";

/// The longest text of a field; file systems take 255 bytes for a whole name.
const FIELD_BYTES: usize = 150;
/// The longest name without its ending, with room for a number and the ending.
const STEM_BYTES: usize = 220;
/// How much of a prompt stands for a title.
const PROMPT_CHARS: usize = 60;

/// A template of names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Field(Field),
    /// A number with at least so many digits.
    Number(Number, usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Field {
    Title,
    CustomId,
    Id,
    Vendor,
    Batch,
    Ext,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Number {
    Index,
    N,
}

const FIELDS: &str = "index, title, n, ext, custom_id, id, vendor, batch";

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        if let Some(c) = text.chars().find(|c| matches!(c, '/' | '\\') || acts(*c)) {
            return Err(format!("a file name cannot contain {c:?}"));
        }
        while let Some(at) = rest.find(['{', '}']) {
            if at > 0 {
                pieces.push(Piece::Text(rest[..at].to_owned()));
            }
            let inner = rest[at..].strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let Some((field, after)) = inner else {
                return Err(format!("a brace has no partner; fields are written {{title}}: {FIELDS}"));
            };
            pieces.push(field_of(field)?);
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        // What a file is, is said by its ending.
        match pieces.last() {
            Some(Piece::Field(Field::Ext)) => {}
            None => return Err("is empty".into()),
            Some(_) => pieces.extend([Piece::Text(".".into()), Piece::Field(Field::Ext)]),
        }
        Ok(Self(pieces))
    }
}

fn field_of(text: &str) -> Result<Piece, String> {
    let (name, width) = match text.split_once(':') {
        Some((name, width)) => {
            let digits = width.parse::<usize>().ok().filter(|digits| (1..=12).contains(digits));
            let digits =
                digits.ok_or_else(|| format!("{{{text}}}: {width:?} is no width; write {{index:03}}"))?;
            (name, Some(digits))
        }
        None => (text, None),
    };
    let field = match name {
        "index" => return Ok(Piece::Number(Number::Index, width.unwrap_or(1))),
        "n" => return Ok(Piece::Number(Number::N, width.unwrap_or(1))),
        "title" => Field::Title,
        "custom_id" => Field::CustomId,
        "id" => Field::Id,
        "vendor" => Field::Vendor,
        "batch" => Field::Batch,
        "ext" => Field::Ext,
        _ => return Err(format!("{{{name}}} is no field; fields: {FIELDS}")),
    };
    if width.is_some() {
        return Err(format!("{{{name}}} takes no width; {{index}} and {{n}} do"));
    }
    Ok(Piece::Field(field))
}

/// A song whose files are named.
pub(crate) struct Song<'a> {
    /// Its place in the batch, from 1.
    pub(crate) index: u64,
    pub(crate) id: JobId,
    pub(crate) custom_id: Option<&'a str>,
    pub(crate) title: Option<&'a str>,
    pub(crate) prompt: Option<&'a str>,
    pub(crate) vendor: &'a str,
    pub(crate) batch: &'a str,
    /// How many files it has.
    pub(crate) files: usize,
}

impl Song<'_> {
    /// What it is called: by its file's title, its own, the caller's name for it, or the beginning of its prompt.
    fn title(&self, asset: &AssetView) -> String {
        let title = asset.title.as_deref().or(self.title).or(self.custom_id).map(fit);
        let prompt = || {
            let prompt: String = self.prompt?.chars().take(PROMPT_CHARS).collect();
            Some(fit(&prompt))
        };
        let known = title.filter(|title| !title.is_empty()).or_else(prompt).filter(|title| !title.is_empty());
        known.unwrap_or_else(|| self.short_id())
    }

    fn short_id(&self) -> String {
        self.id.to_string()[..10].to_owned()
    }
}

/// Text as a file's name can have it on every system: what may not stand there is replaced or left out.
fn fit(text: &str) -> String {
    let (mut fit, mut blank) = (String::new(), false);
    for c in text.nfc() {
        let c = match c {
            '/' | '\\' | ':' | '|' => '-',
            '"' => '\'',
            '<' | '>' | '?' | '*' => continue,
            c if c.is_whitespace() => {
                blank = !fit.is_empty();
                continue;
            }
            c if acts(c) => continue,
            c => c,
        };
        if std::mem::take(&mut blank) {
            fit.push(' ');
        }
        if fit.len() + c.len_utf8() > FIELD_BYTES {
            break;
        }
        fit.push(c);
    }
    fit.truncate(fit.trim_end().len());
    fit
}

impl Template {
    /// A name without its ending.
    fn stem(&self, song: &Song<'_>, asset: &AssetView) -> String {
        let mut stem = String::new();
        // The last two are the dot and the ending.
        for piece in &self.0[..self.0.len() - 1] {
            match piece {
                Piece::Text(text) => stem.push_str(text),
                Piece::Number(Number::Index, width) => stem.push_str(&format!("{:0width$}", song.index)),
                Piece::Number(Number::N, _) if song.files < 2 => {}
                Piece::Number(Number::N, width) => match &asset.part {
                    Some(part) => stem.push_str(&format!(" {}", fit(part))),
                    None => stem.push_str(&format!(" {:0width$}", asset.n)),
                },
                Piece::Field(Field::Title) => stem.push_str(&song.title(asset)),
                Piece::Field(Field::CustomId) => match song.custom_id.map(fit) {
                    Some(id) if !id.is_empty() => stem.push_str(&id),
                    _ => stem.push_str(&song.short_id()),
                },
                Piece::Field(Field::Id) => stem.push_str(&song.id.to_string()),
                Piece::Field(Field::Vendor) => stem.push_str(&fit(song.vendor)),
                Piece::Field(Field::Batch) => stem.push_str(&fit(song.batch)),
                Piece::Field(Field::Ext) => stem.push_str(plain_ending(asset)),
            }
        }
        let stem = fit_whole(&stem);
        if stem.is_empty() { format!("{}-{}", song.id, asset.n) } else { stem }
    }
}

/// A whole name that no system takes for something else: hidden, an option, a device.
fn fit_whole(stem: &str) -> String {
    let cleaned: String =
        stem.chars().filter(|c| !matches!(c, '<' | '>' | '?' | '*' | ':' | '|' | '"') && !acts(*c)).collect();
    let mut stem = cleaned.trim_start_matches([' ', '.', '-', '~']);
    if stem.len() > STEM_BYTES {
        stem = &stem[..stem.floor_char_boundary(STEM_BYTES)];
    }
    let stem = stem.trim_end_matches([' ', '.']);
    let device = stem.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let numbered = |of: &str| device.strip_prefix(of).is_some_and(|n| n.chars().count() == 1 && n != "0");
    let is_device = matches!(&*device, "CON" | "PRN" | "AUX" | "NUL") || numbered("COM") || numbered("LPT");
    if is_device { format!("_{stem}") } else { stem.to_owned() }
}

/// What a file is called, and whether it is there already.
#[derive(Debug, PartialEq)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) is_there: bool,
    /// Whether a file of that name is this one, cut short.
    pub(crate) is_cut: bool,
}

/// The names of an export, each given once, in the order of its songs.
pub(crate) struct Names {
    template: Template,
    /// Where files stay; none for an archive.
    folder: Option<PathBuf>,
    /// Hashes of names that are given: two that differ in case only are one on many systems.
    given: HashSet<u64>,
    /// Whose files those of an earlier export are.
    earlier: HashMap<u64, (JobId, usize)>,
}

impl Names {
    /// For an export into this folder, or into an archive.
    pub(crate) fn new(template: Template, folder: Option<PathBuf>) -> Self {
        Self { template, folder, given: HashSet::new(), earlier: HashMap::new() }
    }

    /// Learns from an earlier manifest whose files there are; what is no manifest says nothing. The batch that was
    /// exported there.
    pub(crate) fn learn(&mut self, manifest: &std::path::Path) -> Option<String> {
        let file = std::fs::File::open(manifest).ok()?;
        let mut batch = None;
        for line in std::io::BufReader::new(file).lines().map_while(Result::ok) {
            let Ok(earlier) = serde_json::from_str::<Earlier>(&line) else { continue };
            for file in earlier.files.into_iter().filter(|file| file.missing.is_none()) {
                self.earlier.insert(hash(&file.path), (earlier.id, file.n));
            }
            batch = earlier.batch;
        }
        batch
    }

    /// Names a song's file: as the template says, or with a number where another file has that name.
    pub(crate) async fn name(&mut self, song: &Song<'_>, asset: &AssetView) -> Result<Named> {
        let (stem, ending) = (self.template.stem(song, asset), plain_ending(asset));
        for count in 1.. {
            let name = match count {
                1 => format!("{stem}.{ending}"),
                count => format!("{stem} ({count}).{ending}"),
            };
            let key = hash(&name);
            if self.given.contains(&key) {
                continue;
            }
            let (mut there, mut cut) = (false, false);
            if let Some(folder) = &self.folder {
                let place = folder.join(&name);
                there = is_there(&place, asset).await?;
                if !there && let Ok(meta) = place.symlink_metadata() {
                    let is_ours = self.earlier.get(&key) == Some(&(song.id, asset.n));
                    cut = is_ours && meta.is_file() && meta.len() < asset.bytes;
                    if !cut {
                        // Somebody else's, or changed by somebody: it stays as it is.
                        continue;
                    }
                }
            }
            self.given.insert(key);
            return Ok(Named { name, is_there: there, is_cut: cut });
        }
        unreachable!("some number is free")
    }
}

fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.to_lowercase().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
