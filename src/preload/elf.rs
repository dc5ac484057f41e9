//! Finds symbols in the object files that the loader has mapped, without the loader's help.
//!
//! `dlsym` takes locks, and in some versions of the C library allocates, which would come back to
//! the hook that is being set up. The loader's list of objects and their hash tables are all that
//! is needed. Format: System V gABI chapter 5 and the GNU hash section as the linkers write it.
//!
//! May run before the constructor, in the first allocation of the process. Must not allocate.

pub(crate) use crate::arch::own_dynamic;
use crate::c_library;
use core::ffi::{CStr, c_char, c_void};
use core::ptr;

/// An entry of the loader's list, the public part (`<link.h>`).
#[repr(C)]
pub(crate) struct LinkMap {
    /// Address in memory minus address in the file.
    pub(crate) l_addr: usize,
    /// Path; empty for the executable.
    pub(crate) l_name: *const c_char,
    /// The dynamic section.
    pub(crate) l_ld: *const Dyn,
    l_next: *const LinkMap,
    l_prev: *const LinkMap,
}

/// An entry of a dynamic section.
#[repr(C)]
pub(crate) struct Dyn {
    tag: i64,
    value: usize,
}

/// What a loader keeps for debuggers (`struct r_debug` of `<link.h>`).
#[repr(C)]
pub(crate) struct Debug {
    version: i32,
    map: *const LinkMap,
    brk: usize,
    state: i32,
    ldbase: usize,
}

#[repr(C)]
struct Sym {
    name: u32,
    info: u8,
    other: u8,
    shndx: u16,
    value: usize,
    size: usize,
}

impl Debug {
    /// The first entry of the list.
    pub(crate) fn map(&self) -> *const LinkMap {
        // SAFETY: the loader may add to the list meanwhile.
        unsafe { (&raw const self.map).read_volatile() }
    }
}

impl LinkMap {
    /// The next entry of the list.
    pub(crate) fn next(&self) -> *const LinkMap {
        // SAFETY: the loader may add to the list meanwhile.
        unsafe { (&raw const self.l_next).read_volatile() }
    }
}

fn debug() -> Option<&'static Debug> {
    // SAFETY: null, or the loader's own structure, which it sets before any code of the program runs.
    unsafe { c_library::debug().as_ref() }
}

/// A relocation with an addend.
#[repr(C)]
struct Rela {
    offset: usize,
    info: usize,
    addend: isize,
}

const DT_NULL: i64 = 0;
const DT_PLTRELSZ: i64 = 2;
const DT_STRTAB: i64 = 5;
const DT_SYMTAB: i64 = 6;
const DT_RELA: i64 = 7;
const DT_RELASZ: i64 = 8;
const DT_TEXTREL: i64 = 22;
const DT_JMPREL: i64 = 23;
const DT_FLAGS: i64 = 30;
const DF_TEXTREL: usize = 4;
const DT_GNU_HASH: i64 = 0x6fff_fef5;
const DT_VERSYM: i64 = 0x6fff_fff0;
const STT_FUNC: u8 = 2;
const STT_GNU_IFUNC: u8 = 10;
/// Set in a version index when the symbol is not the default version of its name.
const VERSYM_HIDDEN: u16 = 0x8000;

/// The function that the loader calls before and after each change of its list, for debuggers.
pub(crate) fn debugger_entry() -> usize {
    debug().map_or(0, |debug| debug.brk)
}

/// The loader's list.
pub(crate) fn objects() -> impl Iterator<Item = &'static LinkMap> {
    let mut next = debug().map_or(ptr::null(), Debug::map);
    core::iter::from_fn(move || {
        // SAFETY: null or an entry. The loader exports the list and keeps its entries linked; it is
        // read here before other threads exist, or while the loader holds still (our own load, or
        // its call of [`debugger_entry`]).
        let map = unsafe { next.as_ref() }?;
        next = map.next();
        Some(map)
    })
}

/// The definition of `name` that the program would reach if this library were not there: the first
/// in the objects behind this one, else in those before.
///
/// Null when nobody defines it.
pub(crate) fn next_definition(name: &CStr) -> *mut c_void {
    others()
        .map(|map| definition_in(map, name))
        .find(|address| !address.is_null())
        .unwrap_or(ptr::null_mut())
}

/// The definition of `name` in the object that has [`next_definition`] of `beside`. Null when it has none,
/// whoever else may.
pub(crate) fn definition_beside(beside: &CStr, name: &CStr) -> *mut c_void {
    others()
        .find(|map| !definition_in(map, beside).is_null())
        .map_or(ptr::null_mut(), |map| definition_in(map, name))
}

/// Returns whether a library in front of this one defines `name`. The executable, which may have an
/// entry of its own for what it calls, is none.
pub(crate) fn is_defined_before(name: &CStr) -> bool {
    let own = own_dynamic();
    objects()
        .take_while(move |map| map.l_ld != own)
        .skip(1)
        .any(|map| !definition_in(map, name).is_null())
}

/// All objects but this one, in the order in which they are searched.
fn others() -> impl Iterator<Item = &'static LinkMap> {
    let own = own_dynamic();
    let behind = objects().skip_while(move |map| map.l_ld != own).skip(1);
    let before = objects().take_while(move |map| map.l_ld != own);
    behind.chain(before)
}

/// This library's own definition of `name`; null when it has none.
pub(crate) fn own_definition(name: &CStr) -> *mut c_void {
    let own = own_dynamic();
    objects()
        .find(|map| map.l_ld == own)
        .map_or(ptr::null_mut(), |map| definition_in(map, name))
}

/// Returns whether the program, or a library in front of this one, defines `name`.
pub(crate) fn is_defined_in_front(name: &CStr) -> bool {
    let own = own_dynamic();
    objects()
        .take_while(move |map| map.l_ld != own)
        .any(|map| exports(map, name))
}

/// The C library's own definition of `name`, or else the loader's; null when neither has one.
pub(crate) fn definition_in_libc(name: &CStr) -> *mut c_void {
    let objects = [c_library::object(), loader()];
    let mut found = objects.iter().flatten().map(|map| definition_in(map, name));
    found
        .find(|address| !address.is_null())
        .unwrap_or(ptr::null_mut())
}

/// The loader.
pub(crate) fn loader() -> Option<&'static LinkMap> {
    let base = debug()?.ldbase;
    objects().find(|map| map.l_addr == base)
}

fn gnu_hash(name: &CStr) -> u32 {
    name.to_bytes().iter().fold(5381_u32, |h, &c| {
        h.wrapping_mul(33).wrapping_add(u32::from(c))
    })
}

/// The definition of `name` in one object; null when it has none.
pub(crate) fn definition_in(map: &LinkMap, name: &CStr) -> *mut c_void {
    match symbol_in(map, name) {
        None => ptr::null_mut(),
        Some((address, STT_GNU_IFUNC)) => {
            // SAFETY: such a symbol is a function of this type, in an object that is relocated.
            unsafe {
                let resolve: extern "C" fn() -> *mut c_void = core::mem::transmute(address);
                resolve()
            }
        }
        Some((address, _)) => address as *mut c_void,
    }
}

/// Returns whether an object, which need not be relocated yet, defines a function of this name.
pub(crate) fn exports(map: &LinkMap, name: &CStr) -> bool {
    symbol_in(map, name).is_some()
}

/// Returns whether the loader has to change the object's code when it relocates it.
pub(crate) fn has_text_relocations(map: &LinkMap) -> bool {
    dynamic_entries(map).any(|entry| match entry.tag {
        DT_TEXTREL => true,
        DT_FLAGS => entry.value & DF_TEXTREL != 0,
        _ => false,
    })
}

fn dynamic_entries(map: &LinkMap) -> impl Iterator<Item = &'static Dyn> {
    let mut next = map.l_ld;
    core::iter::from_fn(move || {
        // SAFETY: null, or in a mapped object's dynamic section, which ends with DT_NULL.
        let entry = unsafe { next.as_ref() }?;
        next = next.wrapping_add(1);
        (entry.tag != DT_NULL).then_some(entry)
    })
}

/// The address of the plain function `name` that one object exports; the object need not be relocated
/// yet.
pub(crate) fn function_in(map: &LinkMap, name: &CStr) -> Option<usize> {
    symbol_in(map, name)
        .filter(|&(_, kind)| kind == STT_FUNC)
        .map(|(address, _)| address)
}

/// The symbol whose address the loader writes to `slot`, by the object's relocations: its name.
pub(crate) fn relocation_symbol(map: &LinkMap, slot: usize) -> Option<&'static CStr> {
    let wanted = slot.wrapping_sub(map.l_addr);
    let (mut strtab, mut symtab) = (0, 0);
    let mut tables = [(0, 0); 2];
    for entry in dynamic_entries(map) {
        let value = entry.value;
        let address = if value < map.l_addr {
            value + map.l_addr
        } else {
            value
        };
        match entry.tag {
            DT_STRTAB => strtab = address,
            DT_SYMTAB => symtab = address,
            DT_JMPREL => tables[0].0 = address,
            DT_PLTRELSZ => tables[0].1 = value,
            DT_RELA => tables[1].0 = address,
            DT_RELASZ => tables[1].1 = value,
            _ => {}
        }
    }
    if strtab == 0 || symtab == 0 {
        return None;
    }
    for (address, bytes) in tables.into_iter().filter(|table| table.0 != 0) {
        let count = bytes / size_of::<Rela>();
        // SAFETY: as in `symbol_in`: the object's own tables, which the loader reads in the same way.
        let entries = unsafe { core::slice::from_raw_parts(address as *const Rela, count) };
        let index = entries
            .iter()
            .find(|entry| entry.offset == wanted)
            .map(|entry| entry.info >> 32)
            .filter(|&index| index != 0);
        if let Some(index) = index {
            // SAFETY: the index is one of the symbol table's, whose names lie in the string table.
            return Some(unsafe {
                let symbol = &*(symtab as *const Sym).add(index);
                CStr::from_ptr((strtab + symbol.name as usize) as *const c_char)
            });
        }
    }
    None
}

/// Address and type of the function `name` in one object.
fn symbol_in(map: &LinkMap, name: &CStr) -> Option<(usize, u8)> {
    let (mut strtab, mut symtab, mut hash, mut versym) = (0, 0, 0, 0);
    for entry in dynamic_entries(map) {
        let value = entry.value;
        let address = if value < map.l_addr {
            value + map.l_addr
        } else {
            value
        };
        match entry.tag {
            DT_STRTAB => strtab = address,
            DT_SYMTAB => symtab = address,
            DT_GNU_HASH => hash = address,
            DT_VERSYM => versym = address,
            _ => {}
        }
    }
    // SAFETY: a mapped object's dynamic section points at its own tables, which the loader itself
    // reads in the same way. The vDSO's are relative, all others the loader has made absolute.
    unsafe {
        if strtab == 0 || symtab == 0 || hash == 0 {
            return None;
        }
        let header = hash as *const u32;
        let (buckets_len, first, bloom_len) = (*header, *header.add(1), *header.add(2));
        if buckets_len == 0 {
            return None;
        }
        let buckets = header
            .add(4)
            .byte_add(bloom_len as usize * size_of::<usize>());
        let chains = buckets.add(buckets_len as usize);
        let wanted = gnu_hash(name);
        let mut index = *buckets.add((wanted % buckets_len) as usize);
        if index < first {
            return None;
        }
        loop {
            let found = *chains.add((index - first) as usize);
            if found | 1 == wanted | 1 {
                let symbol = &*(symtab as *const Sym).add(index as usize);
                let kind = symbol.info & 0xf;
                let is_default =
                    versym == 0 || *(versym as *const u16).add(index as usize) & VERSYM_HIDDEN == 0;
                if symbol.shndx != 0
                    && is_default
                    && matches!(kind, STT_FUNC | STT_GNU_IFUNC)
                    && CStr::from_ptr((strtab + symbol.name as usize) as *const c_char) == name
                {
                    return Some((map.l_addr + symbol.value, kind));
                }
            }
            if found & 1 != 0 {
                return None;
            }
            index += 1;
        }
    }
}
