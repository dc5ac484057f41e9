//! Globs of names.

/// Returns whether `name` matches `pattern`, in which `*` stands for any bytes and `?` for one.
pub fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where to resume after a mismatch: just after the last star, one byte further on.
    let mut star: Option<(usize, usize)> = None;
    while let Some(&c) = name.get(n) {
        match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                star = Some((p, n));
            }
            Some(&q) if q == b'?' || q == c => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((after, from)) => {
                    p = after;
                    n = from + 1;
                    star = Some((after, n));
                }
                None => return false,
            },
        }
    }
    pattern
        .get(p..)
        .is_some_and(|rest| rest.iter().all(|&c| c == b'*'))
}

/// What is wrong with a glob, if anything. Brackets stand for themselves, as in `operator new[]`;
/// one without its other half was meant to be something else.
pub fn glob_error(pattern: &[u8]) -> Option<String> {
    let mut open = 0_usize;
    let mut is_balanced = true;
    for &c in pattern {
        match c {
            b'[' => open += 1,
            b']' if open == 0 => is_balanced = false,
            b']' => open -= 1,
            _ => {}
        }
    }
    let text = String::from_utf8_lossy(pattern);
    let text = text.escape_debug();
    match pattern {
        [] => Some("a glob is empty".to_owned()),
        _ if open > 0 || !is_balanced => Some(format!(
            "the glob \"{text}\" has a bracket without its other half"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_names() {
        assert!(glob(b"py*3", b"python3"));
        assert!(glob(b"*", b""));
        assert!(glob(b"a*b*c", b"a-bb-c"));
        assert!(glob(b"?c", b"cc"));
        assert!(!glob(b"?", b""));
        assert!(!glob(b"py", b"python"));
        assert!(!glob(b"a*b*c", b"a-c-b"));
    }
}
