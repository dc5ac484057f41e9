// The ways in which Rust programs ask for memory.
use std::hint::black_box;

#[inline(never)]
fn by_box() {
    black_box(Box::new([0u8; 50]));
}
#[inline(never)]
fn by_with_capacity() {
    black_box(Vec::<u8>::with_capacity(51));
}
#[inline(never)]
fn by_zeroed() {
    black_box(vec![0u8; 52]);
}
#[inline(never)]
fn by_push() {
    let mut numbers = Vec::new();
    for number in 0..black_box(64u64) {
        numbers.push(number); // grows by 4, 8, 16, 32, 64
    }
    black_box(numbers);
}
#[inline(never)]
fn by_string() {
    black_box(String::from(black_box("a text of some length, twice")).repeat(2));
}
#[inline(never)]
fn by_aligned() {
    #[repr(align(128))]
    #[allow(dead_code)]
    struct Aligned([u8; 128]);
    black_box(Box::new(Aligned([1; 128])));
}
#[inline(never)]
fn everything() {
    by_box();
    by_with_capacity();
    by_zeroed();
    by_push();
    by_string();
    by_aligned();
    black_box(());
}

fn main() {
    everything();
    black_box(());
}
