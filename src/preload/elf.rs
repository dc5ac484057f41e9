//! Finds symbols in the object files that the loader has mapped, without the loader's help.
//!
//! `dlsym` takes locks, and in some versions of the C library allocates, which would come back to
//! the hook that is being set up. The loader's list of objects and their hash tables are all that
//! is needed. Format: System V gABI chapter 5 and the GNU hash section as the linkers write it.
//!
//! May run before the constructor, in the first allocation of the process. Must not allocate.

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

#[repr(C)]
struct RDebug {
    version: i32,
    map: *const LinkMap,
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

unsafe extern "C" {
    static _r_debug: RDebug;
}

const DT_NULL: i64 = 0;
const DT_STRTAB: i64 = 5;
const DT_SYMTAB: i64 = 6;
const DT_GNU_HASH: i64 = 0x6fff_fef5;
const DT_VERSYM: i64 = 0x6fff_fff0;
const STT_FUNC: u8 = 2;
const STT_GNU_IFUNC: u8 = 10;
/// Set in a version index when the symbol is not the default version of its name.
const VERSYM_HIDDEN: u16 = 0x8000;

/// Where this library's dynamic section lies.
pub(crate) fn own_dynamic() -> *const Dyn {
    let own: *const Dyn;
    // SAFETY: takes the address of our own dynamic section, which the linker defines.
    unsafe {
        core::arch::asm!(
            ".hidden _DYNAMIC",
            "lea {}, [rip + _DYNAMIC]",
            out(reg) own,
            options(nomem, nostack, preserves_flags)
        );
    }
    own
}

/// The loader's list.
pub(crate) fn objects() -> impl Iterator<Item = &'static LinkMap> {
    // SAFETY: the loader exports the list and keeps its entries linked; it is read here before
    // other threads exist, or while the loader holds still (our own load).
    let mut next = unsafe { _r_debug.map };
    core::iter::from_fn(move || {
        // SAFETY: as above: null or an entry.
        let map = unsafe { next.as_ref() }?;
        next = map.l_next;
        Some(map)
    })
}

/// The definition of `name` that the program would reach if this library were not there: the first
/// in the objects behind this one, else in those before.
///
/// Null when nobody defines it.
pub(crate) fn next_definition(name: &CStr) -> *mut c_void {
    let own = own_dynamic();
    let behind = objects().skip_while(|map| map.l_ld != own).skip(1);
    let before = objects().take_while(|map| map.l_ld != own);
    behind
        .chain(before)
        .map(|map| definition_in(map, name))
        .find(|address| !address.is_null())
        .unwrap_or(ptr::null_mut())
}

/// This library's own definition of `name`; null when it has none.
pub(crate) fn own_definition(name: &CStr) -> *mut c_void {
    let own = own_dynamic();
    objects()
        .find(|map| map.l_ld == own)
        .map_or(ptr::null_mut(), |map| definition_in(map, name))
}

fn gnu_hash(name: &CStr) -> u32 {
    name.to_bytes().iter().fold(5381_u32, |h, &c| {
        h.wrapping_mul(33).wrapping_add(u32::from(c))
    })
}

/// The definition of `name` in one object; null when it has none.
pub(crate) fn definition_in(map: &LinkMap, name: &CStr) -> *mut c_void {
    // SAFETY: a mapped object's dynamic section ends with DT_NULL and points at its own tables,
    // which the loader itself reads in the same way. The vDSO's are relative, all others the
    // loader has made absolute.
    unsafe {
        if map.l_ld.is_null() {
            return ptr::null_mut();
        }
        let (mut strtab, mut symtab, mut hash, mut versym) = (0, 0, 0, 0);
        let mut entry = map.l_ld;
        while (*entry).tag != DT_NULL {
            let value = (*entry).value;
            let address = if value < map.l_addr {
                value + map.l_addr
            } else {
                value
            };
            match (*entry).tag {
                DT_STRTAB => strtab = address,
                DT_SYMTAB => symtab = address,
                DT_GNU_HASH => hash = address,
                DT_VERSYM => versym = address,
                _ => {}
            }
            entry = entry.add(1);
        }
        if strtab == 0 || symtab == 0 || hash == 0 {
            return ptr::null_mut();
        }
        let header = hash as *const u32;
        let (buckets_len, first, bloom_len) = (*header, *header.add(1), *header.add(2));
        if buckets_len == 0 {
            return ptr::null_mut();
        }
        let buckets = header
            .add(4)
            .byte_add(bloom_len as usize * size_of::<usize>());
        let chains = buckets.add(buckets_len as usize);
        let wanted = gnu_hash(name);
        let mut index = *buckets.add((wanted % buckets_len) as usize);
        if index < first {
            return ptr::null_mut();
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
                    let address = map.l_addr + symbol.value;
                    if kind == STT_GNU_IFUNC {
                        let resolve: extern "C" fn() -> *mut c_void = core::mem::transmute(address);
                        return resolve();
                    }
                    return address as *mut c_void;
                }
            }
            if found & 1 != 0 {
                return ptr::null_mut();
            }
            index += 1;
        }
    }
}
