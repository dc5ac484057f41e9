//! Counts and bytes as people read them.

/// `1234567` as `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 site`, `1,234 sites`.
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(n), if n == 1 { one } else { many })
}

/// Bytes in words: `12 bytes`, `1,234,567 bytes (1.2 MB)`.
pub fn bytes(n: u64) -> String {
    let exact = counted(n, "byte", "bytes");
    match n {
        0..1000 => exact,
        _ => format!("{exact} ({})", scaled(n)),
    }
}

/// Bytes in short: `12 B`, `1.2 MB`.
pub fn scaled(n: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let mut scaled = n as f64 / 1000.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        // What would be printed as 1000.0 is 1.0 of the next one.
        if scaled < 999.95 {
            break;
        }
        scaled /= 1000.0;
        unit = larger;
    }
    format!("{scaled:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let grouped: Vec<String> = [0, 999, 1000, 123_456, 1_234_567].map(grouped).to_vec();
        assert_eq!(grouped, ["0", "999", "1,000", "123,456", "1,234,567"]);
        assert_eq!(counted(1, "site", "sites"), "1 site");
        assert_eq!(counted(2000, "site", "sites"), "2,000 sites");
    }

    #[test]
    fn bytes_have_a_unit() {
        assert_eq!(
            [scaled(0), scaled(999), scaled(1000)],
            ["0 B", "999 B", "1.0 kB"]
        );
        assert_eq!(bytes(1), "1 byte");
        assert_eq!(bytes(999), "999 bytes");
        assert_eq!(bytes(1000), "1,000 bytes (1.0 kB)");
        assert_eq!(bytes(999_949), "999,949 bytes (999.9 kB)");
        assert_eq!(bytes(999_999), "999,999 bytes (1.0 MB)");
        assert_eq!(bytes(1_234_567_890), "1,234,567,890 bytes (1.2 GB)");
        assert!(bytes(u64::MAX).ends_with("(18.4 EB)"));
    }
}
