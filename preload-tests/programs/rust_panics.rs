//! Panics that pass through frames that allocate, with destructors that allocate on the way.

use std::hint::black_box;
use std::panic::{self, AssertUnwindSafe};

#[inline(never)]
fn ask(size: usize) {
    black_box(Vec::<u8>::with_capacity(black_box(size)));
}

struct Allocates;

impl Drop for Allocates {
    fn drop(&mut self) {
        ask(42);
    }
}

#[inline(never)]
fn falls(depth: u32) -> u32 {
    let _guard = Allocates;
    ask(41);
    if depth == 0 {
        panic!("expected");
    }
    black_box(falls(depth - 1)) + 1
}

fn main() {
    panic::set_hook(Box::new(|_| ask(43)));
    let mut caught = 0;
    for _ in 0..100 {
        caught += u32::from(panic::catch_unwind(AssertUnwindSafe(|| falls(9))).is_err());
    }
    println!("{caught}");
    std::process::exit(3);
}
