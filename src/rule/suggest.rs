//! "Did you mean": the nearest known name to one that is not known.

/// The name of `known` that is nearest to `name`, where one is near enough to be a slip of the finger: at most one edit
/// for each three characters, letter case not counted.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = name.to_lowercase().chars().collect();
    let bound = (wanted.len() / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in known {
        let other: Vec<char> = candidate.to_lowercase().chars().collect();
        if other.len().abs_diff(wanted.len()) > bound {
            continue;
        }
        let edits = distance(&wanted, &other);
        if edits <= bound && best.is_none_or(|(least, _)| edits < least) {
            best = Some((edits, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// `` did you mean `total`? ``, or failing that the list of what there is.
pub fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone, what: &str) -> Option<String> {
    if let Some(near) = nearest(name, known.clone()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let list: Vec<String> = known.into_iter().take(LISTED_MAX + 1).map(|name| format!("`{name}`")).collect();
    match list.len() {
        0 => None,
        count if count > LISTED_MAX => Some(format!("{what}: {}, …", list[..LISTED_MAX].join(", "))),
        _ => Some(format!("{what}: {}", list.join(", "))),
    }
}

/// Names listed in a hint.
const LISTED_MAX: usize = 12;

/// Edits (insert, delete, replace, swap of neighbours) from one word to the other.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, cb) in b.iter().enumerate() {
            let replace = above[j] + usize::from(ca != cb);
            let mut best = replace.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *ca == b[j - 1] && a[i - 1] == *cb {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let known = ["total", "errors", "p99"];
        assert_eq!(nearest("totla", known), Some("total"));
        assert_eq!(nearest("Errors", known), Some("errors"));
        assert_eq!(nearest("error", known), Some("errors"));
        assert_eq!(nearest("p95", known), Some("p99"));
        assert_eq!(nearest("latency", known), None);
        assert_eq!(hint("latency", known, "lets of this rule").unwrap(), "lets of this rule: `total`, `errors`, `p99`");
        assert_eq!(hint("x", [], "nothing"), None);
    }
}
