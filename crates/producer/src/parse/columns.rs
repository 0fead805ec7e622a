//! What the columns of a table mean: names as people write them, in English and Chinese, with units.

use std::collections::BTreeMap;

use crate::parse::error::ReadError;
use crate::parse::values::{Kind, Unit};

/// Which names mean which field: without case, blanks, `_`, `-` and `.`; what stands in brackets is a unit.
#[rustfmt::skip]
const NAMES: &[(&str, &[&str])] = &[
    ("custom_id", &["customid", "id", "externalid", "编号", "序号"]),
    ("vendor", &["vendor", "vendors", "provider", "供应商", "厂商", "服务商"]),
    ("prompt", &["prompt", "description", "提示词", "提示", "描述"]),
    ("style", &["style", "styles", "tags", "风格", "曲风"]),
    ("lyrics", &["lyrics", "lyric", "songtext", "歌词"]),
    ("lyrics_prompt", &["lyricsprompt", "lyricstopic", "歌词提示词", "歌词主题"]),
    ("instrumental", &["instrumental", "纯音乐"]),
    ("vocal", &["vocal", "vocals", "voice", "人声", "演唱"]),
    ("mood", &["mood", "情绪", "心情"]),
    ("genre", &["genre", "流派", "类型"]),
    ("duration_s", &["durations", "duration", "length", "seconds", "时长", "长度", "秒数"]),
    ("seed", &["seed", "随机种子", "种子"]),
    ("count", &["count", "quantity", "qty", "数量", "首数"]),
    ("title", &["title", "name", "songname", "songtitle", "标题", "歌名", "曲名", "名称"]),
    ("reference_audio", &["referenceaudio", "reference", "参考音频"]),
    ("format", &["format", "fileformat", "格式", "文件格式"]),
    ("language", &["language", "lang", "语言", "语种"]),
    ("priority", &["priority", "优先级"]),
    ("not_before", &["notbefore", "开始时间", "最早时间"]),
    ("deadline", &["deadline", "截止时间", "截止"]),
    ("content_key", &["contentkey"]),
    ("require", &["require", "required"]),
    ("allow_ignored", &["allowignored"]),
];
/// The longest name that may have been meant as another.
const NAME_CHARS: usize = 40;
/// What a file of rejected rows has beside people's own columns.
pub(crate) const ERROR: &str = "error";

/// A column that is read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    /// Its name in the file.
    pub(crate) name: String,
    /// The field of the request, such as `options.tencent.emotion`.
    pub(crate) field: String,
    pub(crate) kind: Kind,
}

/// What begins the error of a row whose cells may stand in other columns than they should: it is read when somebody has
/// cleared that.
pub(crate) const UNREAD: &str = "row not read: ";

/// All columns of a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns {
    /// By place; what is not read is nothing.
    pub(crate) all: Vec<Option<Column>>,
    /// How many cells a row has at least: up to the last column with a name.
    pub(crate) least: usize,
    /// Names that mean nothing, each with what may have been meant.
    pub(crate) unknown: Vec<(String, Option<&'static str>)>,
}

/// What names mean in one file: by the name there, the field; an empty field for a column that is not read.
pub type Mapping = BTreeMap<String, String>;

impl Columns {
    /// How many columns are read.
    pub(crate) fn known(&self) -> usize {
        self.all.iter().flatten().count()
    }

    /// Reads a header.
    pub(crate) fn of(names: &[String], mapping: &Mapping) -> Result<Self, ReadError> {
        for (from, to) in mapping {
            if !names.iter().any(|name| same(name, from)) {
                let listed: Vec<_> =
                    names.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
                return Err(ReadError::Form(format!(
                    "has no column {from:?}, which is mapped to {to:?}; its columns are {}",
                    listed.join(", ")
                )));
            }
        }
        let mut columns = Self::default();
        for (n, name) in names.iter().enumerate() {
            if !name.is_empty() {
                columns.least = n + 1;
            }
            let column = columns.column(name, mapping)?;
            let same = |other: &&Column| column.as_ref().is_some_and(|column| column.field == other.field);
            if let (Some(column), Some(other)) = (&column, columns.all.iter().flatten().find(same)) {
                return Err(ReadError::Form(format!(
                    "has two columns for {}: {:?} and {:?}; rename one of them, or leave it out with --map {:?}=",
                    column.field, other.name, column.name, column.name
                )));
            }
            columns.all.push(column);
        }
        Ok(columns)
    }

    fn column(&mut self, name: &str, mapping: &Mapping) -> Result<Option<Column>, ReadError> {
        if let Some((_, to)) = mapping.iter().find(|(from, _)| same(name, from)) {
            if to.is_empty() {
                return Ok(None);
            }
            let found = column(to, name).ok_or_else(|| {
                let near = meant(to).map_or_else(String::new, |near| format!("; did you mean {near}?"));
                ReadError::Form(format!("cannot be read: --map {name:?}={to}: {to:?} is not a field{near}"))
            });
            return found.map(Some);
        }
        if name.is_empty() || is_error(name) {
            return Ok(None);
        }
        let found = column(name, name);
        if let Some(Column { kind: Kind::Duration(_), .. }) = &found
            && let Some(unit) = bracketed(name).filter(|unit| !Unit::is_known(unit))
        {
            return Err(ReadError::Form(format!(
                "has lengths in a unit that is not known, {unit:?} in column {name:?}: write s, min or h, or say that they are seconds with --map {name:?}=duration_s"
            )));
        }
        if found.is_none() {
            self.unknown.push((name.to_owned(), meant(name)));
        }
        Ok(found)
    }
}

/// Whether a column says what was wrong with its row.
pub(crate) fn is_error(name: &str) -> bool {
    folded(name) == ERROR
}

/// The column of a name that means a field.
pub(crate) fn column(means: &str, name: &str) -> Option<Column> {
    let of = |field: &str, kind| Some(Column { name: name.to_owned(), field: field.to_owned(), kind });
    let parts: Vec<_> = means.split('.').map(str::trim).collect();
    if let [options, vendor, field] = parts[..]
        && options.eq_ignore_ascii_case("options")
        && !vendor.is_empty()
        && !field.is_empty()
    {
        return of(&format!("options.{}.{field}", vendor.to_lowercase()), Kind::Option);
    }
    let folded = folded(means);
    let (field, _) = NAMES.iter().find(|(_, names)| names.contains(&folded.as_str()))?;
    // The unit stands in the file, whatever the column is mapped to.
    let unit = [name, means].into_iter().find_map(|text| Unit::of(bracketed(text)?));
    of(field, Kind::of(field, unit.unwrap_or_default()))
}

/// A name without what people write differently: case, blanks, `_`, `-`, `.`, and what stands in brackets behind it.
fn folded(name: &str) -> String {
    let bare = name.split(['(', '[', '（', '【']).next().unwrap_or_default();
    let bare = if bare.trim().is_empty() { name } else { bare };
    bare.chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '_' | '-' | '.' | '*' | ':' | '：'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// What stands in brackets behind a name.
fn bracketed(name: &str) -> Option<&str> {
    let (_, behind) = name.split_once(['(', '[', '（', '【'])?;
    Some(behind.split([')', ']', '）', '】']).next()?.trim())
}

fn same(one: &str, other: &str) -> bool {
    let plain = |text: &str| text.trim().to_lowercase();
    plain(one) == plain(other)
}

/// The field that may have been meant by a name.
fn meant(name: &str) -> Option<&'static str> {
    let folded = folded(name);
    if folded.chars().count() > NAME_CHARS {
        return None;
    }
    let near = NAMES.iter().flat_map(|(field, names)| {
        names.iter().map(|known| (strsim::normalized_damerau_levenshtein(&folded, known), *field))
    });
    near.filter(|(near, _)| *near > 0.6)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, field)| field)
}

/// Every field that a column may have.
pub(crate) fn fields() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(field, _)| *field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str], mapping: &[(&str, &str)]) -> Result<Columns, String> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mapping = mapping.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
        Columns::of(&names, &mapping).map_err(|error| error.to_string())
    }

    fn fields_of(names: &[&str]) -> Vec<String> {
        columns(names, &[])
            .unwrap()
            .all
            .into_iter()
            .map(|c| c.map_or_else(String::new, |c| c.field))
            .collect()
    }

    #[test]
    fn names_mean_fields_however_they_are_written() {
        assert_eq!(
            fields_of(&[
                "Custom ID",
                "VENDOR",
                "lyrics-prompt",
                "Duration (s)",
                "Title *",
                "",
                "error",
                "Options.Tencent.emotion"
            ]),
            [
                "custom_id",
                "vendor",
                "lyrics_prompt",
                "duration_s",
                "title",
                "",
                "",
                "options.tencent.emotion"
            ]
        );
        assert_eq!(
            fields_of(&["标题", "提示词", "歌词", "风格", "时长（秒）", "供应商", "数量"]),
            ["title", "prompt", "lyrics", "style", "duration_s", "vendor", "count"]
        );
        for field in fields() {
            assert_eq!(fields_of(&[field]), [field]);
        }
        let all: Vec<_> = NAMES.iter().flat_map(|(_, names)| *names).collect();
        let mut once = all.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), all.len(), "a name means one field");
    }

    #[test]
    fn units_stand_in_brackets() {
        for (name, unit) in
            [("Duration (s)", Unit::Second), ("时长（分钟）", Unit::Minute), ("Length [min]", Unit::Minute)]
        {
            let columns = columns(&[name], &[]).unwrap();
            assert_eq!(columns.all[0].as_ref().unwrap().kind, Kind::Duration(unit), "{name}");
        }
    }

    #[test]
    fn what_is_not_known_is_named_with_what_may_be_meant() {
        let columns = columns(&["prompt", "Lyrcs", "Notes to self"], &[]).unwrap();
        assert_eq!(
            columns.unknown,
            [("Lyrcs".to_owned(), Some("lyrics")), ("Notes to self".to_owned(), None)]
        );
        assert_eq!((columns.known(), columns.least), (1, 3));
    }

    #[test]
    fn two_columns_for_a_field_are_refused() {
        for names in [&["prompt", "title", "Prompt"][..], &["title", "歌名"]] {
            let refused = columns(names, &[]).unwrap_err();
            assert!(
                refused.contains("two columns for") && refused.contains(names[names.len() - 1]),
                "{refused}"
            );
        }
        assert!(columns(&["title", "歌名"], &[("歌名", "")]).is_ok());
    }

    #[test]
    fn a_mapping_says_what_a_name_means() {
        let read =
            columns(&["Länge (min)", "Text"], &[("länge (min)", "duration_s"), ("Text", "lyrics")]).unwrap();
        assert_eq!(read.all[0].as_ref().unwrap().kind, Kind::Duration(Unit::Minute));
        assert_eq!(read.all[1].as_ref().unwrap().field, "lyrics");
        let wrong = columns(&["a"], &[("b", "lyrics")]).unwrap_err();
        assert!(wrong.contains("no column \"b\""), "{wrong}");
        let wrong = columns(&["a"], &[("a", "lyric_promt")]).unwrap_err();
        assert!(wrong.contains("did you mean lyrics_prompt?"), "{wrong}");
    }
}
