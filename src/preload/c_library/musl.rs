//! musl, since 1.2.2.
//!
//! Its loader and its C library are one object. It never unloads an object that it has loaded, and its
//! lock for the list of objects is not recursive: a signal handler may interrupt its holder, which
//! also calls this library when the list changes. So the list is walked without it.

use crate::elf::{self, Debug, LinkMap};
use crate::stack::Bounds;
use crate::unwind::Found;
use crate::{arch, confined, real, sys, thread};
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::MaybeUninit;
use core::ops::Range;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::*};

type Header = libc::Elf64_Phdr;

/// What the loader keeps for debuggers: not by glibc's name, but by a pointer to it.
#[inline]
pub(super) fn debug() -> *const Debug {
    let address = crate::arch::weak!("_dl_debug_addr") as *const *const Debug;
    // SAFETY: null, or the loader's variable, which never changes.
    unsafe { address.as_ref() }.copied().unwrap_or(ptr::null())
}

/// The loader.
pub(super) fn object() -> Option<&'static LinkMap> {
    elf::loader()
}

/// musl's name of a function that this library knows by glibc's.
#[cfg_attr(test, allow(dead_code))]
pub(super) fn name_of(name: &'static CStr) -> &'static CStr {
    // (It takes one argument less, the object, and does not look at a fourth.)
    if name == c"__register_atfork" {
        c"pthread_atfork"
    } else if name == c"__pthread_key_create" {
        c"pthread_key_create"
    } else {
        name
    }
}

/// musl's own function takes the loader's lock.
#[cfg_attr(test, allow(dead_code))]
pub(super) fn substitute(name: &CStr) -> *mut c_void {
    if name == c"dl_iterate_phdr" {
        iterate as *mut c_void
    } else {
        ptr::null_mut()
    }
}

/// musl's `calloc` calls `malloc`, and its other functions for aligned blocks call `aligned_alloc`, by names
/// that this library interposes. They are replaced by functions that do the same by the next definitions.
///
/// Where the program, or a library in front of this one, defines the function that is called, that one has
/// to be called as before, and may come back here: such a call is not looked at.
pub(super) fn replace_nested() {
    let Some(libc) = object() else { return };
    let replace = |name: &CStr, slot: &AtomicPtr<c_void>, new: *mut c_void| {
        let own = elf::definition_in(libc, name);
        if slot.load(Relaxed) == own && !own.is_null() {
            slot.store(new, Relaxed);
        }
    };
    if elf::is_defined_in_front(c"malloc") {
        replace(c"calloc", &real::CALLOC, quiet::calloc as *mut c_void);
    } else {
        replace(c"calloc", &real::CALLOC, calloc as *mut c_void);
    }
    if elf::is_defined_in_front(c"aligned_alloc") {
        let (memalign, posix_memalign) = (quiet::memalign, quiet::posix_memalign);
        replace(c"memalign", &real::MEMALIGN, memalign as *mut c_void);
        replace(
            c"posix_memalign",
            &real::POSIX_MEMALIGN,
            posix_memalign as *mut c_void,
        );
        replace(c"valloc", &real::VALLOC, quiet::valloc as *mut c_void);
    } else {
        let aligned_alloc = real::ALIGNED_ALLOC.load(Relaxed);
        replace(c"memalign", &real::MEMALIGN, aligned_alloc);
        replace(
            c"posix_memalign",
            &real::POSIX_MEMALIGN,
            posix_memalign as *mut c_void,
        );
        replace(c"valloc", &real::VALLOC, valloc as *mut c_void);
    }
    // musl has none. Who finds the exported one by its name gets what it promises.
    if elf::next_definition(c"pvalloc").is_null() {
        real::PVALLOC.store(pvalloc as *mut c_void, Relaxed);
    }
}

/// musl's own functions, in which the calling thread's allocations are not looked at.
mod quiet {
    use super::*;

    macro_rules! quiet {
        ($($name:ident $symbol:literal ($($argument:ident: $type:ty),*) -> $result:ty;)*) => { $(
            pub(super) unsafe extern "C-unwind" fn $name($($argument: $type),*) -> $result {
                static NEXT: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
                let mut next = NEXT.load(Relaxed);
                if next.is_null() {
                    next = elf::definition_in_libc($symbol);
                    NEXT.store(next, Relaxed);
                }
                let word = arch::thread_word();
                arch::set_thread_word(thread::BUSY);
                // SAFETY: the function is put in the place of this definition, which has this type; the
                // arguments are the caller's own.
                let result = unsafe {
                    let next: unsafe extern "C-unwind" fn($($type),*) -> $result =
                        core::mem::transmute(next);
                    next($($argument),*)
                };
                arch::set_thread_word(word);
                result
            }
        )* };
    }
    quiet! {
        calloc c"calloc" (count: usize, size: usize) -> *mut c_void;
        memalign c"memalign" (align: usize, size: usize) -> *mut c_void;
        posix_memalign c"posix_memalign" (out: *mut *mut c_void, align: usize, size: usize) -> c_int;
        valloc c"valloc" (size: usize) -> *mut c_void;
    }
}

/// `calloc` of C by the next `malloc`.
unsafe extern "C-unwind" fn calloc(count: usize, size: usize) -> *mut c_void {
    let Some(bytes) = count.checked_mul(size) else {
        sys::set_errno(libc::ENOMEM);
        return ptr::null_mut();
    };
    // SAFETY: the block has so many bytes, and nobody else has it yet.
    unsafe {
        let block = real::malloc(bytes);
        if !block.is_null() {
            clear(block.cast(), bytes);
        }
        block
    }
}

/// Fills a block with zeros. Like musl, it writes to no page that is all zeros: one that is new takes no
/// memory yet.
///
/// # Safety
/// The block is the caller's.
unsafe fn clear(block: *mut u8, bytes: usize) {
    const PAGE: usize = 4096;
    let head = block.align_offset(PAGE).min(bytes);
    let pages = (bytes - head) / PAGE;
    // SAFETY: all of it lies in the block.
    unsafe {
        ptr::write_bytes(block, 0, head);
        for page in (0..pages).map(|page| block.add(head + page * PAGE)) {
            let words = page.cast::<u64>();
            if (0..PAGE / 8).any(|word| *words.add(word) != 0) {
                ptr::write_bytes(page, 0, PAGE);
            }
        }
        let tail = head + pages * PAGE;
        ptr::write_bytes(block.add(tail), 0, bytes - tail);
    }
}

/// `posix_memalign` of POSIX by the next `aligned_alloc`.
unsafe extern "C-unwind" fn posix_memalign(
    out: *mut *mut c_void,
    align: usize,
    size: usize,
) -> c_int {
    if align < size_of::<*mut c_void>() {
        return libc::EINVAL;
    }
    // SAFETY: the caller's own arguments.
    unsafe {
        let block = real::aligned_alloc(align, size);
        if block.is_null() {
            return sys::errno();
        }
        *out = block;
    }
    0
}

const PAGE: usize = 4096;

/// `valloc` of BSD by the next `aligned_alloc`.
unsafe extern "C-unwind" fn valloc(size: usize) -> *mut c_void {
    // SAFETY: the caller's own argument.
    unsafe { real::aligned_alloc(PAGE, size) }
}

/// `pvalloc` of SysV by the next `aligned_alloc`.
unsafe extern "C-unwind" fn pvalloc(size: usize) -> *mut c_void {
    let Some(size) = size.checked_next_multiple_of(PAGE) else {
        sys::set_errno(libc::ENOMEM);
        return ptr::null_mut();
    };
    // SAFETY: the caller's own argument.
    unsafe { real::aligned_alloc(PAGE, size.max(PAGE)) }
}

/// The kernel puts the path that was executed, or else its random bytes, above the argument count.
pub(super) fn main_stack_end() -> usize {
    [libc::AT_EXECFN, libc::AT_RANDOM]
        .into_iter()
        // SAFETY: no preconditions.
        .map(|kind| unsafe { libc::getauxval(kind) } as usize & !7)
        .find(|&at| at != 0)
        .unwrap_or(0)
}

/// The descriptor has 0xc8 bytes in version 1.2; the first 0x40 are neither addresses nor sizes of stacks.
pub(super) fn stack_places() -> Range<usize> {
    0x40..0xb8
}

/// musl keeps the end and the size of the stack that it made, or that the program gave, in the thread
/// descriptor (at 0x58 in version 1.2). The descriptor lies above the stack in the same mapping, but
/// where a stack that the program gave is too small.
///
/// # Safety
/// The two words at `tp + offset` can be read.
pub(super) unsafe fn stack_at(tp: usize, offset: usize, sp: usize) -> Option<Bounds> {
    /// `PTHREAD_STACK_MIN`, less what thread-local memory may take of a stack that the program gave.
    const SMALLEST: usize = 1024;
    // SAFETY: as the caller promises.
    let (hi, size) = unsafe {
        let word = (tp + offset) as *const usize;
        (*word, *word.add(1))
    };
    let lo = hi.checked_sub(size)?;
    (lo <= sp && sp < hi && hi.is_multiple_of(8) && (SMALLEST..1 << 40).contains(&size))
        .then_some(Bounds { lo, hi })
}

/// What the thread descriptor says of a mapping that musl has made for a thread.
pub(crate) struct ThreadMapping {
    /// Start and end, the guard included.
    pub(crate) range: Range<usize>,
    /// Where the stack ends and thread-local memory begins.
    pub(crate) stack_end: usize,
}

/// Words of the descriptor that [`mapping_of`] looks at.
const DESCRIPTOR_WORDS: usize = 0xb8 / 8;

/// The mapping that a thread's descriptor lies in, by the descriptor's words: the start and the size of the
/// mapping, and behind them the end and the size of the stack in it.
pub(crate) fn mapping_of(
    descriptor: usize,
    words: &[u64; DESCRIPTOR_WORDS],
) -> Option<ThreadMapping> {
    words.windows(4).skip(0x40 / 8).find_map(|words| {
        let &[start, size, stack_end, stack_size] = words else {
            return None;
        };
        let [start, size] = [start as usize, size as usize];
        let [stack_end, stack_size] = [stack_end as usize, stack_size as usize];
        let end = start.checked_add(size)?;
        let is_mapping = start != 0
            && start.is_multiple_of(PAGE)
            && size.is_multiple_of(PAGE)
            && (start..end).contains(&descriptor)
            && stack_end <= descriptor
            && stack_end.checked_sub(stack_size)? >= start;
        is_mapping.then_some(ThreadMapping {
            range: start..end,
            stack_end,
        })
    })
}

/// The function that a thread starts with is the first word of what its creator has put at the end of its
/// stack (`struct start_args`: 32 bytes, and 40 before version 1.2).
pub(super) fn start_functions(tp: usize) -> Option<[u64; 2]> {
    // SAFETY: the descriptor, which is longer, begins at the thread pointer.
    let words = unsafe { &*(tp as *const [u64; DESCRIPTOR_WORDS]) };
    let end = mapping_of(tp, words)?.stack_end & !7;
    // SAFETY: the end of the thread's own stack, which it used when it started.
    Some([32, 40].map(|before| unsafe { *((end - before) as *const u64) }))
}

/// An object and its program headers.
#[derive(Clone, Copy)]
struct Object {
    map: *const LinkMap,
    bias: usize,
    name: *const c_char,
    headers: &'static [Header],
    start: usize,
    end: usize,
}

impl Object {
    /// The object of a link map; `None` where its headers are not found.
    ///
    /// # Safety
    /// The link map can be read.
    unsafe fn of(map: *const LinkMap, is_first: bool) -> Option<Self> {
        // SAFETY: as the caller promises.
        let (bias, name) = unsafe { ((*map).l_addr, (*map).l_name) };
        let headers = if is_first {
            program_headers()?
        } else {
            headers_at(bias)?
        };
        let (mut start, mut end) = (usize::MAX, 0);
        for header in headers.iter().filter(|h| h.p_type == libc::PT_LOAD) {
            let at = bias.wrapping_add(header.p_vaddr as usize);
            start = start.min(at & !(PAGE - 1));
            end = end.max(at + header.p_memsz as usize);
        }
        let name = if is_first {
            // As glibc has it. musl has the path as it was given, to which the working directory
            // belongs.
            c"".as_ptr()
        } else if is_vdso(bias) {
            c"linux-vdso.so.1".as_ptr()
        } else {
            name
        };
        (start < end).then_some(Self {
            map,
            bias,
            name,
            headers,
            start,
            end,
        })
    }

    fn found(&self) -> Found {
        let eh_frame = self
            .headers
            .iter()
            .find(|header| header.p_type == libc::PT_GNU_EH_FRAME);
        Found {
            start: self.start as u64,
            end: self.end as u64,
            eh_frame_hdr: eh_frame
                .map_or(0, |header| (self.bias as u64).wrapping_add(header.p_vaddr)),
            name: self.name as u64,
            bias: self.bias as u64,
        }
    }
}

/// Objects that are remembered. Others are found each time.
const MOST_KNOWN: usize = 512;

/// A place for an object that stays.
struct Slot {
    is_filled: AtomicBool,
    object: UnsafeCell<MaybeUninit<Object>>,
}

// SAFETY: the object is written once, by who was given the slot, before `is_filled` is set; it is read after
// that alone.
unsafe impl Sync for Slot {}

/// Objects that stay: they contained code that ran, or were there at the start.
static KNOWN: [Slot; MOST_KNOWN] = [const {
    Slot {
        is_filled: AtomicBool::new(false),
        object: UnsafeCell::new(MaybeUninit::uninit()),
    }
}; MOST_KNOWN];
/// Slots of [`KNOWN`] that were given away.
static GIVEN: AtomicUsize = AtomicUsize::new(0);

fn known() -> impl Iterator<Item = &'static Object> {
    let given = GIVEN.load(Relaxed).min(MOST_KNOWN);
    KNOWN
        .iter()
        .take(given)
        .filter(|slot| slot.is_filled.load(Acquire))
        // SAFETY: the slot is filled and does not change any more.
        .map(|slot| unsafe { (*slot.object.get()).assume_init_ref() })
}

fn remember(object: Object) {
    if GIVEN.load(Relaxed) >= MOST_KNOWN {
        return;
    }
    if let Some(slot) = KNOWN.get(GIVEN.fetch_add(1, Relaxed)) {
        // SAFETY: the slot was given to this call alone, and nobody reads it yet.
        unsafe { (*slot.object.get()).write(object) };
        slot.is_filled.store(true, Release);
    }
}

/// Calls `f` with each object of the loader's list until it returns true. Another thread may be about to
/// add some, and to take them out again when that fails: what is not known to stay is read only where the
/// kernel says that it can be.
fn each(mut f: impl FnMut(&Object) -> bool) {
    /// No program has as many; a list that is changed under our eyes may have no end.
    const MOST: usize = 1 << 14;
    // SAFETY: the loader's structure, or null.
    let Some(debug) = (unsafe { debug().as_ref() }) else {
        return;
    };
    let mut next = debug.map();
    for index in 0..MOST {
        if next.is_null() {
            return;
        }
        let (object, behind) = match known().find(|object| ptr::eq(object.map, next)) {
            // SAFETY: the link map of an object that stays.
            Some(known) => (Some(*known), unsafe { (*next).next() }),
            None => {
                let last_word = size_of::<LinkMap>() - size_of::<usize>();
                let can_be_read = index == 0
                    || !confined::is_confined()
                        && sys::is_readable(next as usize)
                        && sys::is_readable(next as usize + last_word);
                if !can_be_read {
                    return;
                }
                // SAFETY: it can be read, and whatever there is are words.
                unsafe { (Object::of(next, index == 0), (*next).next()) }
            }
        };
        if object.is_some_and(|object| f(&object)) {
            return;
        }
        next = behind;
    }
}

/// Remembers the objects that are there. To be called at the start, while nobody loads any.
pub(super) fn begin() {
    // In a child of fork they are known.
    if GIVEN.load(Relaxed) != 0 {
        return;
    }
    let mut found = 0;
    each(|object| {
        remember(*object);
        found += 1;
        found == MOST_KNOWN
    });
}

/// Of the objects that are known to stay, or else in the loader's list. `address` is one of code that runs,
/// or whose object the loader has told of: it stays.
pub(super) fn find_object(address: u64, _: bool) -> Option<Found> {
    let is_in = |object: &&Object| (object.start..object.end).contains(&(address as usize));
    if let Some(object) = known().find(is_in) {
        return Some(object.found());
    }
    let mut found = None;
    each(|object| {
        if is_in(&object) {
            found = Some(*object);
        }
        found.is_some()
    });
    let found = found?;
    remember(found);
    Some(found.found())
}

type Visit = unsafe extern "C" fn(*mut libc::dl_phdr_info, usize, *mut c_void) -> c_int;

/// `dl_iterate_phdr` for this library and the unwinder in it.
#[cfg_attr(test, allow(dead_code))]
unsafe extern "C" fn iterate(visit: Visit, data: *mut c_void) -> c_int {
    let mut result = 0;
    each(|object| {
        let mut info = libc::dl_phdr_info {
            dlpi_addr: object.bias as u64,
            dlpi_name: object.name,
            dlpi_phdr: object.headers.as_ptr(),
            dlpi_phnum: object.headers.len() as u16,
            dlpi_adds: GIVEN.load(Relaxed) as u64,
            dlpi_subs: 0,
            dlpi_tls_modid: 0,
            dlpi_tls_data: ptr::null_mut(),
        };
        // SAFETY: the caller's own function, called as it has to be.
        result = unsafe { visit(&raw mut info, size_of_val(&info), data) };
        result != 0
    });
    result
}

/// The program's own headers, which need not be mapped where its link map says.
fn program_headers() -> Option<&'static [Header]> {
    static AT: AtomicUsize = AtomicUsize::new(0);
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn first(info: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
        // SAFETY: the loader passes a valid structure.
        let info = unsafe { &*info };
        COUNT.store(usize::from(info.dlpi_phnum), Relaxed);
        AT.store(info.dlpi_phdr as usize, Release);
        1
    }
    if AT.load(Acquire) == 0 {
        let iterate = elf::definition_in_libc(c"dl_iterate_phdr");
        if iterate.is_null() {
            return None;
        }
        // SAFETY: the function has this signature. It calls `first` before it takes a lock, and is ended
        // by it.
        unsafe {
            let iterate: unsafe extern "C" fn(Visit, *mut c_void) -> c_int =
                core::mem::transmute(iterate);
            iterate(first, ptr::null_mut());
        }
    }
    let at = AT.load(Acquire) as *const Header;
    // SAFETY: the loader's own table, which stays mapped with the program.
    (!at.is_null()).then(|| unsafe { core::slice::from_raw_parts(at, COUNT.load(Relaxed)) })
}

/// The program headers of the object that is mapped at `bias`, from which its file begins; `None` where
/// there are none, or the object was mapped otherwise.
fn headers_at(bias: usize) -> Option<&'static [Header]> {
    let is_there = bias != 0 && bias.is_multiple_of(PAGE) && sys::is_readable(bias);
    // SAFETY: the first page of a mapping, of which the kernel says that it can be read.
    let header = is_there.then(|| unsafe { &*(bias as *const libc::Elf64_Ehdr) })?;
    let (offset, count) = (header.e_phoff as usize, usize::from(header.e_phnum));
    let fits = header.e_ident.starts_with(b"\x7fELF")
        && offset.is_multiple_of(8)
        && offset <= PAGE
        && offset + count * size_of::<Header>() <= PAGE;
    // SAFETY: within that page, which an ELF header begins.
    fits.then(|| unsafe { core::slice::from_raw_parts((bias + offset) as *const Header, count) })
}

fn is_vdso(bias: usize) -> bool {
    // SAFETY: no preconditions.
    let vdso = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) } as usize;
    vdso != 0 && bias == vdso
}

type Handler = unsafe extern "C" fn(*mut c_void);

/// What [`at_exit`] and [`at_quick_exit`] were given; null until then.
static EXIT: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
static QUICK_EXIT: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

fn call(handler: &AtomicPtr<c_void>) {
    let handler = handler.load(Relaxed);
    if !handler.is_null() {
        // SAFETY: what is stored there has this type.
        unsafe { core::mem::transmute::<*mut c_void, Handler>(handler)(ptr::null_mut()) };
    }
}

/// This library's destructor. musl runs destructors after all functions of `atexit`, in the opposite order of
/// constructors, and the constructors of preloaded libraries first.
#[cfg_attr(test, allow(dead_code))]
extern "C" fn destructor() {
    call(&EXIT);
}

#[cfg(not(test))]
#[used]
#[unsafe(link_section = ".fini_array")]
static DESTRUCTOR: extern "C" fn() = destructor;

pub(super) fn at_exit(f: Handler) {
    EXIT.store(f as *mut c_void, Relaxed);
}

/// musl has none that takes an argument.
pub(super) fn at_quick_exit(f: Handler) {
    extern "C" fn handler() {
        call(&QUICK_EXIT);
    }
    QUICK_EXIT.store(f as *mut c_void, Relaxed);
    let register = elf::definition_in_libc(c"at_quick_exit");
    if !register.is_null() {
        // SAFETY: the function has this signature, and what it registers stays mapped.
        unsafe {
            let register: unsafe extern "C" fn(extern "C" fn()) -> c_int =
                core::mem::transmute(register);
            register(handler);
        }
    }
}

/// The program's dynamic section: its object is the first one.
pub(super) fn place_in_program() -> u64 {
    elf::objects()
        .next()
        .map_or(0, |program| program.l_ld as u64)
}

/// musl hands what `main`, or a thread's function, returns to `exit` or `pthread_exit`, which do not return:
/// `mov edi, eax`, `mov rdi, rax` or `movsxd rdi, eax`, and `call` or `jmp`.
pub(super) fn is_root(address: u64, code: &[u8; super::ROOT_LEN]) -> bool {
    let (len, rest) = match code {
        [0x89, 0xc7, rest @ ..] => (2, &rest[..5]),
        [0x48, 0x89, 0xc7, rest @ ..] | [0x48, 0x63, 0xf8, rest @ ..] => (3, &rest[..]),
        _ => return false,
    };
    let &[0xe8 | 0xe9, a, b, c, d] = rest else {
        return false;
    };
    let behind = address + len + 5;
    let target = behind.wrapping_add_signed(i64::from(i32::from_le_bytes([a, b, c, d])));
    let Some(libc) = object() else { return false };
    [c"exit", c"pthread_exit"]
        .into_iter()
        .any(|name| elf::function_in(libc, name) == Some(target as usize))
}
