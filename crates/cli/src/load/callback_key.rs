//! Whether a callback key can be guessed: whoever guesses it can end anybody's job.

/// What to do about it.
const MAKE: &str = "make one with `openssl rand -base64 32`";

/// Texts of documents and examples, as far as they are told from others.
const EXAMPLES: [&str; 13] = [
    "at least sixteen random bytes",
    "at least 16 bytes",
    "openssl rand",
    "changeme",
    "change me",
    "change-me",
    "replace",
    "example",
    "placeholder",
    "your secret",
    "your-secret",
    "password",
    "secret of",
];
/// The least bytes.
const BYTES: usize = 16;
/// The least information, by how often each byte comes.
const BITS: f64 = 42.0;

/// What is wrong with a secret.
pub(crate) fn problem(secret: &str) -> Option<String> {
    let lower = secret.trim().to_lowercase();
    let reason = if secret.len() < BYTES {
        format!("has {} bytes, and needs {BYTES}", secret.len())
    } else if EXAMPLES.iter().any(|example| lower.contains(example)) || lower.contains('…') {
        "is an example that everybody knows".to_owned()
    } else if is_repeated(secret.as_bytes()) || is_sequence(&lower) || bits(secret.as_bytes()) < BITS {
        "can be guessed: it repeats itself".to_owned()
    } else {
        return None;
    };
    Some(format!("{reason}; {MAKE}"))
}

fn is_repeated(bytes: &[u8]) -> bool {
    (1..=bytes.len() / 2).any(|period| bytes.iter().zip(&bytes[period..]).all(|(one, other)| one == other))
}

/// Whether it mostly counts, or goes through the alphabet or a keyboard's rows.
fn is_sequence(text: &str) -> bool {
    const ROWS: [&str; 3] = ["qwertyuiop", "asdfghjkl", "zxcvbnm"];
    let bytes = text.as_bytes();
    let follows = |one: u8, other: u8| {
        let along =
            |row: &&str| row.as_bytes().windows(2).any(|pair| pair == [one, other] || pair == [other, one]);
        one.abs_diff(other) <= 1 || (one, other) == (b'9', b'0') || ROWS.iter().any(along)
    };
    let pairs = bytes.windows(2).filter(|pair| follows(pair[0], pair[1])).count();
    2 * pairs >= bytes.len()
}

fn bits(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let length = bytes.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) * (length / f64::from(*count)).log2())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_can_be_guessed_are_refused_and_random_ones_are_not() {
        for weak in [
            "",
            "short",
            "fifteen bytes..",
            "at least sixteen random bytes",
            "at least sixteen random bytes!",
            "ChangeMeChangeMeNow1",
            "hunter2hunter2hunter2",
            "aaaaaaaaaaaaaaaaaaaaaaaa",
            "abababababababababab",
            "0123456789abcdef",
            "12345678901234567890",
            "abcdefghijklmnopqrstuvwxyz",
            "qwertyuiopasdfghjklzxcvbnm",
            "aaaaaaaabbbbbbbbcc",
            "REPLACE-ME-with-32-random-bytes",
            "openssl rand -base64 32",
        ] {
            let problem = problem(weak).unwrap_or_else(|| panic!("{weak:?} is accepted"));
            assert!(problem.contains("openssl rand -base64 32"), "{problem}");
        }
        // Random ones of every length and alphabet that people make them of; the seed is fixed by the loop.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 33) as usize % below
        };
        for (length, alphabet) in [
            (16, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"),
            (44, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"),
            (32, "0123456789abcdef"),
            (64, "0123456789abcdef"),
        ] {
            for _ in 0..500 {
                let key: String =
                    (0..length).map(|_| alphabet.as_bytes()[next(alphabet.len())] as char).collect();
                assert_eq!(problem(&key), None, "{key}");
            }
        }
    }
}
