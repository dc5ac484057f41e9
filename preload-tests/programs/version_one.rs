//! The first version of a program; see `version_two.rs`.
use std::hint::black_box;

struct Item {
    words: [u64; 6],
}

#[inline(never)]
fn call<F: Fn(usize) -> Vec<u8>>(f: F) -> usize {
    black_box(f(7)).len()
}

#[inline(never)]
fn items(n: u64) -> u64 {
    let items: Vec<Box<Item>> = (0..n).map(|i| Box::new(Item { words: [i; 6] })).collect();
    black_box(items).iter().map(|item| item.words[0]).sum()
}

#[inline(never)]
fn texts(n: usize) -> usize {
    (0..n)
        .map(|i| black_box(vec![b'x'; 20 + i % 3]).len())
        .sum()
}

fn main() {
    let called = call(|n| vec![0; n * 10]) + call(|n| vec![1; n * 20]);
    black_box((called, items(1000), texts(50)));
}
