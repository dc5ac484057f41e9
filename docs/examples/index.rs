//! The example in Rust: an index of items, filled by two threads, of which one copy leaks.

use std::collections::HashMap;
use std::thread;

struct Item {
    name: String,
    numbers: Vec<u32>,
}

fn load(count: u32) -> HashMap<String, Item> {
    let mut items = HashMap::new();
    for i in 0..count {
        let name = format!("a rather long name of item {i}");
        let numbers = (0..i % 50).collect();
        items.insert(name.clone(), Item { name, numbers });
    }
    items
}

fn render(items: &HashMap<String, Item>) -> String {
    let mut text = String::new();
    for (key, item) in items {
        text.push_str(key);
        text.push_str(&item.name);
        text.push_str(&item.numbers.len().to_string());
    }
    text
}

fn forget(count: u32) {
    std::mem::forget(load(count));
}

fn main() {
    let count = std::env::args().nth(1).map_or(5000, |count| count.parse().expect("a number"));
    let loader = thread::Builder::new().name("loader".to_owned());
    let loader = loader.spawn(move || load(count / 2)).expect("a thread");
    let own = load(count);
    forget(100);
    let other = loader.join().expect("the other half");
    println!("{} {}", render(&own).len(), other.len());
}
