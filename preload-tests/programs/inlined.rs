// Functions that the compiler inlines, and names with generics and closures.
use std::collections::HashMap;
use std::hint::black_box;

#[inline(always)]
fn innermost<T: Clone>(value: &T, count: usize) -> Vec<T> {
    black_box(vec![value.clone(); count])
}
#[inline(always)]
fn middle(count: usize) -> Vec<u64> {
    innermost(&7, count)
}
#[inline(never)]
fn outer(count: usize) -> usize {
    black_box(middle(count)).len()
}

fn main() {
    let closure = |count: usize| black_box(outer(count) + 1);
    let map: HashMap<String, usize> = (0..300).map(|n| (n.to_string(), closure(n))).collect();
    std::mem::forget(black_box(map));
}
