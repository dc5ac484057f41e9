//! A text that is long enough to be worth a check.

#[test]
fn a_long_text_is_counted() {
    let text: String = (0..20_000).map(|i| format!("word{} ", i % 500)).collect();
    let counts = words::count(&text);
    assert_eq!(counts.len(), 500);
    assert!(counts.values().all(|&n| n == 40));
}
