//! The second version of `version_one.rs`: a function has moved, a closure stands before the others, a struct
//! is a word larger, and a loop allocates 100 kB each time, which nobody should have let pass.
use std::hint::black_box;

#[inline(never)]
fn texts(n: usize) -> usize {
    (0..n)
        .map(|i| black_box(vec![b'x'; 20 + i % 3]).len())
        .sum()
}

#[inline(never)]
fn planted(n: usize) -> usize {
    (0..n)
        .map(|i| black_box(vec![i as u8; 100_000]).len())
        .sum()
}

struct Item {
    words: [u64; 7],
}

#[inline(never)]
fn items(n: u64) -> u64 {
    let items: Vec<Box<Item>> = (0..n).map(|i| Box::new(Item { words: [i; 7] })).collect();
    black_box(items).iter().map(|item| item.words[0]).sum()
}

#[inline(never)]
fn call<F: Fn(usize) -> Vec<u8>>(f: F) -> usize {
    black_box(f(7)).len()
}

fn main() {
    let added = call(|n| vec![5; n * 30]);
    let called = call(|n| vec![0; n * 10]) + call(|n| vec![1; n * 20]);
    black_box((added, called, items(1000), texts(50), planted(12)));
}
