//! Leaving out what a text quotes: it may be the customer's own words.

/// The text without what stands in quotation marks.
///
/// The message of an exception, as in `RuntimeError('…')`, is the vendor's own although it is quoted. A text that is
/// nothing but a quotation is left as it is.
pub(super) fn left_out(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let (mut own, mut at) = (String::new(), 0);
    while at < chars.len() {
        let end = closing(chars[at]).filter(|_| opens(&chars, at)).and_then(|close| end(&chars, at, close));
        match end {
            Some(end) if is_message(&chars[..at]) => {
                own.extend(&chars[at + 1..end]);
                at = end + 1;
            }
            Some(end) => {
                own.push(' ');
                at = end + 1;
            }
            None => {
                own.push(chars[at]);
                at += 1;
            }
        }
    }
    if own.chars().any(char::is_alphanumeric) { own } else { text.to_owned() }
}

fn closing(open: char) -> Option<char> {
    Some(match open {
        '"' => '"',
        '\'' => '\'',
        '`' => '`',
        '“' => '”',
        '‘' => '’',
        '「' => '」',
        '『' => '』',
        '《' => '》',
        '«' => '»',
        _ => return None,
    })
}

/// Whether a mark opens a quotation; an apostrophe does not.
fn opens(chars: &[char], at: usize) -> bool {
    let is_straight = matches!(chars[at], '"' | '\'' | '`');
    let before = at.checked_sub(1).map(|before| chars[before]);
    let after = chars.get(at + 1);
    !is_straight
        || (!before.is_some_and(|c| c.is_ascii_alphanumeric()) && after.is_some_and(|c| !c.is_whitespace()))
}

/// Where a quotation ends; one that does not was cut off, and ends with the text unless it may be an apostrophe.
fn end(chars: &[char], open: usize, close: char) -> Option<usize> {
    let is_end = |at: &usize| {
        chars[*at] == close
            && (!matches!(close, '\'' | '’') || !chars.get(at + 1).is_some_and(|c| c.is_alphanumeric()))
    };
    let cut_off = (!matches!(close, '\'' | '’')).then_some(chars.len());
    outer_end(chars, open, close, is_end).or_else(|| (open + 1..chars.len()).find(is_end)).or(cut_off)
}

/// Where a quotation ends in which others stand; none where they are not all closed.
fn outer_end(chars: &[char], open: usize, close: char, is_end: impl Fn(&usize) -> bool) -> Option<usize> {
    let mut depth = 1;
    for at in open + 1..chars.len() {
        let begins = chars[at] == chars[open]
            && chars[at - 1].is_whitespace()
            && chars.get(at + 1).is_some_and(|c| c.is_alphanumeric());
        if begins || (chars[open] != close && chars[at] == chars[open]) {
            depth += 1;
        } else if is_end(&at) {
            depth -= 1;
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Whether what is before a quotation says that it is the message of an exception: `RuntimeError(`.
fn is_message(before: &[char]) -> bool {
    let Some((&'(', name)) = before.split_last() else { return false };
    let name: String = name.iter().rev().take(9).rev().collect::<String>().to_lowercase();
    name.ends_with("error") || name.ends_with("exception")
}
