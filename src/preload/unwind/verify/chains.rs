//! Chains of calls of many shapes, which end in a function to be inspected.

#![allow(improper_ctypes_definitions, unfulfilled_lint_expectations)] // Only Rust calls them.

use proptest::prelude::*;
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::fmt;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// One function on the stack, or a few.
#[derive(Clone, Copy, Debug)]
pub(super) enum Link {
    /// A plain call.
    Call,
    /// A frame of 64 bytes, of 4 kB, and one of 160 kB, which is probed page by page.
    Frame64,
    Frame4k,
    Frame160k,
    /// Locals aligned to 64 bytes: rsp is realigned, rbp finds the frame.
    Aligned,
    /// Arguments on the stack.
    ManyArguments,
    /// A boxed closure.
    Closure,
    /// The iterator and sorting functions of std.
    Iterator,
    Sort,
    /// A comparison called by libc's `qsort`.
    Qsort,
    /// The formatting machinery of std.
    Display,
    /// A destructor.
    Drop,
    /// A landing pad that is not needed.
    Catch,
    /// A function that calls itself this many times.
    Recursion(u8),
    /// Two functions that call one another.
    PingPong(u16),
    /// The start of a thread.
    Thread,
    /// A handler of a signal that was raised here; on the alternate stack if so wished.
    Signal {
        alternate: bool,
    },
}

pub(super) fn chains() -> impl Strategy<Value = Vec<Link>> {
    let link = prop_oneof![
        Just(Link::Call),
        Just(Link::Frame64),
        Just(Link::Frame4k),
        Just(Link::Frame160k),
        Just(Link::Aligned),
        Just(Link::ManyArguments),
        Just(Link::Closure),
        Just(Link::Iterator),
        Just(Link::Sort),
        Just(Link::Qsort),
        Just(Link::Display),
        Just(Link::Drop),
        Just(Link::Catch),
        (0_u8..9).prop_map(Link::Recursion),
        (0_u16..9).prop_map(Link::PingPong),
        Just(Link::Thread),
        any::<bool>().prop_map(|alternate| Link::Signal { alternate }),
    ];
    prop::collection::vec(link, 0..12)
}

type End<'e> = &'e mut (dyn FnMut() + Send);

/// Calls `end` at the end of the chain.
#[inline(never)]
pub(super) fn run(chain: &[Link], end: End<'_>) {
    let Some((&link, rest)) = chain.split_first() else {
        end();
        black_box(());
        return;
    };
    match link {
        Link::Call => call(rest, end),
        Link::Frame64 => frame::<8>(rest, end),
        Link::Frame4k => frame::<512>(rest, end),
        Link::Frame160k => frame::<20_000>(rest, end),
        Link::Aligned => aligned(rest, end),
        Link::ManyArguments => many_arguments(1, 2, 3, 4, 5, 6, 7, 8, rest, end),
        Link::Closure => {
            let mut boxed: Box<dyn FnMut() + '_> = black_box(Box::new(|| run(rest, end)));
            boxed();
        }
        Link::Iterator => (0..black_box(3))
            .filter(|i| i % 2 == 1)
            .for_each(|_| run(rest, end)),
        Link::Sort => sort(rest, end),
        Link::Qsort => qsort(rest, end),
        Link::Display => {
            assert_eq!(format!("{:>3}", Shown(Cell::new(Some((rest, end))))), "x");
        }
        Link::Drop => drop(black_box(Dropped(rest, end))),
        Link::Catch => catch_unwind(AssertUnwindSafe(|| run(rest, end))).unwrap(),
        Link::Recursion(depth) => recursion(depth, rest, end),
        Link::PingPong(depth) => ping(depth, rest, end),
        Link::Thread => std::thread::scope(|scope| {
            // As much as the first of them, for whatever follows.
            let builder = std::thread::Builder::new().stack_size(16 << 20);
            let thread = builder.spawn_scoped(scope, || run(rest, end)).unwrap();
            thread.join().unwrap();
        }),
        Link::Signal { alternate } => signal(alternate, rest, end),
    }
    black_box(());
}

#[inline(never)]
fn call(rest: &[Link], end: End<'_>) {
    run(rest, end);
    black_box(());
}

#[inline(never)]
fn frame<const WORDS: usize>(rest: &[Link], end: End<'_>) {
    let mut words = [1_u64; WORDS];
    black_box(&mut words);
    run(rest, end);
    black_box(&words);
}

#[repr(align(64))]
struct Line([u8; 64]);

#[inline(never)]
fn aligned(rest: &[Link], end: End<'_>) {
    let mut line = Line([1; 64]);
    black_box(&mut line);
    run(rest, end);
    black_box(&line.0);
}

#[inline(never)]
#[expect(clippy::too_many_arguments)] // That is the point.
extern "C" fn many_arguments(
    a: u64,
    b: u64,
    c: u64,
    d: u64,
    e: u64,
    f: u64,
    g: u64,
    h: u64,
    rest: &[Link],
    end: End<'_>,
) {
    run(rest, end);
    black_box([a, b, c, d, e, f, g, h]);
}

#[inline(never)]
fn sort(rest: &[Link], end: End<'_>) {
    let mut numbers: Vec<u32> = black_box((0..40).rev().collect());
    let mut end = Some(end);
    numbers.sort_by(|a, b| {
        if let Some(end) = end.take() {
            run(rest, end);
        }
        a.cmp(b)
    });
    assert!(numbers.is_sorted());
}

thread_local! {
    /// What a callback without an argument goes on with.
    static NEXT: Cell<Option<(*const [Link], *mut (dyn FnMut() + Send))>> = const { Cell::new(None) };
}

/// Leaves what follows to a callback of the same thread.
fn leave(rest: &[Link], end: End<'_>) {
    // SAFETY: only the lifetime is changed; the callback runs before the caller returns, and
    // takes the pointer away.
    let end = unsafe { std::mem::transmute::<End<'_>, End<'static>>(end) };
    NEXT.set(Some((rest, end)));
}

fn take_up() {
    if let Some((rest, end)) = NEXT.take() {
        // SAFETY: see `leave`.
        unsafe { run(&*rest, &mut *end) };
    }
}

extern "C" fn compare(a: *const c_void, b: *const c_void) -> c_int {
    take_up();
    // SAFETY: `qsort` passes elements of the array.
    unsafe { *a.cast::<c_int>() - *b.cast::<c_int>() }
}

#[inline(never)]
fn qsort(rest: &[Link], end: End<'_>) {
    let mut numbers: Vec<c_int> = (0..40).rev().collect();
    leave(rest, end);
    // SAFETY: the array is as long as said.
    unsafe {
        libc::qsort(numbers.as_mut_ptr().cast(), numbers.len(), 4, Some(compare));
    }
    assert!(numbers.is_sorted());
}

struct Shown<'s>(Cell<Option<(&'s [Link], End<'s>)>>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((rest, end)) = self.0.take() {
            run(rest, end);
        }
        f.write_str("x")
    }
}

struct Dropped<'d>(&'d [Link], End<'d>);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        run(self.0, self.1);
    }
}

#[inline(never)]
fn recursion(depth: u8, rest: &[Link], end: End<'_>) {
    match depth {
        0 => run(rest, end),
        _ => recursion(depth - 1, rest, end),
    }
    black_box(depth);
}

#[inline(never)]
fn ping(depth: u16, rest: &[Link], end: End<'_>) {
    match depth {
        0 => run(rest, end),
        _ => pong(depth - 1, rest, end),
    }
    black_box(depth);
}

#[inline(never)]
fn pong(depth: u16, rest: &[Link], end: End<'_>) {
    let mut words = [1_u64; 9];
    black_box(&mut words);
    match depth {
        0 => run(rest, end),
        _ => ping(depth - 1, rest, end),
    }
    black_box(&words);
}

extern "C" fn handler(_: c_int) {
    take_up();
}

/// A signal that nobody else in the tests uses.
const SIGNAL: c_int = libc::SIGUSR2;

#[inline(never)]
fn signal(alternate: bool, rest: &[Link], end: End<'_>) {
    // The handler may come again inside of itself, but on the alternate stack only once.
    let flags = libc::SA_NODEFER | if alternate { libc::SA_ONSTACK } else { 0 };
    let mut stack = vec![0_u8; if alternate { 4 << 20 } else { 0 }];
    leave(rest, end);
    // SAFETY: the handler may run at any point of the tests' code (the signal is raised here); the
    // alternate stack lives until it is given up below.
    unsafe {
        let mut before: libc::stack_t = std::mem::zeroed();
        let new = libc::stack_t {
            ss_sp: stack.as_mut_ptr().cast(),
            ss_flags: 0,
            ss_size: stack.len(),
        };
        // Not while the thread is on it.
        let set = alternate && libc::sigaltstack(&raw const new, &raw mut before) == 0;
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as extern "C" fn(c_int) as usize;
        action.sa_flags = flags;
        assert_eq!(
            libc::sigaction(SIGNAL, &raw const action, std::ptr::null_mut()),
            0
        );
        assert_eq!(libc::raise(SIGNAL), 0);
        if set {
            libc::sigaltstack(&raw const before, std::ptr::null_mut());
        }
    }
    assert!(NEXT.take().is_none());
}
