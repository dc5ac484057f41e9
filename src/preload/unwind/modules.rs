//! The object files that are mapped, as far as the walks have met them.
//!
//! A module is looked up by an address in it ([`c_library::find_object`]) and compared with what is known of that place, so that another module at
//! the same addresses is told from the one before it, whether it was unloaded through `dlclose` or
//! by the C library itself.
//!
//! Runs in cold sections. No lock of ours is held around a call into the loader.

use super::module_file;
use crate::settings::settings;
use crate::{c_library, confined};
use core::ffi::{CStr, c_int, c_void};
use core::hash::{BuildHasherDefault, Hasher};
use core::ops::Range;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use dashmap::DashMap;
use dashmap::try_result::TryResult;
use skipheap_symbolize::bytes::{Bytes, MappedFile};
use skipheap_symbolize::module_wrappers::ModuleWrappers;
use skipheap_symbolize::wrappers::Wrappers;
use skipheap_symbolize::{Build, FileId, ObjectId};
use std::sync::Arc;

/// Hashes what the maps of the cold paths are keyed by (FNV-1a, 64 bits).
#[derive(Default)]
pub(crate) struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        // dashmap takes the shard from the high bits.
        self.0 ^ self.0.rotate_left(32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 ^= self.0 >> 29;
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }
}

pub(crate) type Map<K, V> = DashMap<K, V, BuildHasherDefault<Fnv>>;

/// A map for what threads share. Its shards are few: they are met on cold paths only.
pub(crate) fn map<K: Eq + core::hash::Hash, V>() -> Map<K, V> {
    DashMap::with_capacity_and_hasher_and_shard_amount(0, BuildHasherDefault::default(), 8)
}

/// Looks a key up without ever sleeping in the map: a sleeping lock would register a thread-local
/// destructor in the program's thread.
pub(crate) fn get<K: Eq + core::hash::Hash, V: Clone>(map: &Map<K, V>, key: &K) -> Option<V> {
    loop {
        match map.try_get(key) {
            TryResult::Present(value) => return Some(value.clone()),
            TryResult::Absent => return None,
            TryResult::Locked => crate::sys::yield_now(),
        }
    }
}

/// Puts a value in unless there is one; what is in the map then. As [`get`], it never sleeps.
pub(crate) fn get_or_put<K: Eq + core::hash::Hash + Clone, V: Clone>(
    map: &Map<K, V>,
    key: &K,
    value: V,
) -> V {
    loop {
        if let Some(entry) = map.try_entry(key.clone()) {
            return entry.or_insert(value).clone();
        }
        crate::sys::yield_now();
    }
}

/// What the loader says about the object that contains an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// First mapped address.
    pub(crate) start: u64,
    /// End of the mapped addresses.
    pub(crate) end: u64,
    /// Address of `.eh_frame_hdr`, 0 without one.
    pub(crate) eh_frame_hdr: u64,
    /// Address of its path, a C string; 0 for the program's.
    pub(crate) name: u64,
    /// Address in memory minus address in the file.
    pub(crate) bias: u64,
}

/// The thread in which the loader has mapped objects and not listed them yet, or 0.
static UNLISTED_BY: AtomicU32 = AtomicU32::new(0);

/// Runs `f`, in which the calling thread finds also what the loader is about to list. The loader
/// holds its lock for this thread.
pub(crate) fn with_unlisted<T>(f: impl FnOnce() -> T) -> T {
    UNLISTED_BY.store(crate::sys::tid(), Relaxed);
    let result = f();
    UNLISTED_BY.store(0, Relaxed);
    result
}

fn is_unlisted_by_me() -> bool {
    let thread = UNLISTED_BY.load(Relaxed);
    thread != 0 && thread == crate::sys::tid()
}

/// The object that contains an address.
pub(crate) fn find(address: u64) -> Option<Found> {
    c_library::find_object(address, is_unlisted_by_me())
}

/// The object that contains an address, under the loader's lock.
pub(crate) fn find_by_iteration(address: u64) -> Option<Found> {
    let mut found = None;
    each_object(|info, headers| {
        let (mut start, mut end, mut hdr) = (u64::MAX, 0, 0);
        for h in headers {
            let at = info.dlpi_addr.wrapping_add(h.p_vaddr);
            match h.p_type {
                libc::PT_LOAD => {
                    start = start.min(at & !0xfff);
                    end = end.max(at + h.p_memsz);
                }
                libc::PT_GNU_EH_FRAME => hdr = at,
                _ => {}
            }
        }
        if start <= address && address < end {
            found = Some(Found {
                start,
                end,
                eh_frame_hdr: hdr,
                name: info.dlpi_name as u64,
                bias: info.dlpi_addr,
            });
        }
        found.is_some()
    });
    found
}

/// Calls `f` with each mapped object and its program headers, until it answers true. Under the
/// loader's lock.
fn each_object<F: FnMut(&libc::dl_phdr_info, &'static [libc::Elf64_Phdr]) -> bool>(mut f: F) {
    unsafe extern "C" fn visit<
        F: FnMut(&libc::dl_phdr_info, &'static [libc::Elf64_Phdr]) -> bool,
    >(
        info: *mut libc::dl_phdr_info,
        _: usize,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: the loader passes a valid info, whose headers stay mapped with the object; `data`
        // is the closure handed in below.
        unsafe {
            let info = &*info;
            let headers = core::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum));
            c_int::from((*data.cast::<F>())(info, headers))
        }
    }
    // SAFETY: `visit` keeps the contract of the callback.
    unsafe {
        libc::dl_iterate_phdr(Some(visit::<F>), (&raw mut f).cast());
    }
}

/// An object and where it is mapped.
pub(crate) struct Place {
    /// First mapped address.
    pub(crate) start: u64,
    /// End of the mapped addresses.
    pub(crate) end: u64,
    /// Address in memory minus address in the file.
    pub(crate) bias: u64,
    /// Empty without one.
    pub(crate) build_id: &'static [u8],
}

/// The object that contains an address.
pub(crate) fn place_of(address: u64) -> Option<Place> {
    let found = find(address)?;
    Some(Place {
        start: found.start,
        end: found.end,
        bias: found.bias,
        // SAFETY: the object is in the loader's list.
        build_id: unsafe { build_id_of(&found) },
    })
}

/// Hands the parts of the memory to `f` that the object that contains an address has for its own.
pub(crate) fn each_segment(address: u64, mut f: impl FnMut(Range<usize>)) {
    let Some(found) = find(address) else { return };
    // SAFETY: the object was just found mapped, and holds code that is on the stack.
    unsafe {
        each_header(&found, |h, _| {
            if h.p_type == libc::PT_LOAD {
                let start = found.bias.wrapping_add(h.p_vaddr) as usize;
                f(start..start + h.p_memsz as usize);
            }
        });
    }
}

/// Returns whether all bytes of `start..end` lie in one readable, executable segment of a mapped object.
pub(crate) fn is_code(start: u64, end: u64) -> bool {
    let Some(found) = find(start) else {
        return false;
    };
    let mut inside = false;
    // SAFETY: the object was just found mapped, and holds code that is on the stack.
    unsafe {
        each_header(&found, |h, _| {
            let at = found.bias.wrapping_add(h.p_vaddr);
            inside |= h.p_type == libc::PT_LOAD
                && h.p_flags & libc::PF_X != 0
                && h.p_flags & libc::PF_R != 0
                && at <= start
                && end <= at + h.p_filesz;
        });
    }
    inside
}

/// The unwind information of the object that contains an address.
pub(crate) fn eh_frame_at(address: u64) -> Option<EhFrame> {
    let found = find(address)?;
    // SAFETY: the object was just found mapped.
    unsafe { eh_frame_of(&found) }
}

/// As [`eh_frame_at`], where the object's headers are found without the loader's lock.
pub(crate) fn eh_frame_without_lock(address: u64) -> Option<EhFrame> {
    let found = find(address)?;
    // SAFETY: the start of an object that was just found mapped.
    let has_headers = unsafe { *(found.start as *const [u8; 4]) } == *b"\x7fELF";
    // SAFETY: as above.
    has_headers
        .then(|| unsafe { eh_frame_of(&found) })
        .flatten()
}

/// The readable, executable segment of an object that contains an address: where it begins, and what
/// is in it.
pub(crate) fn code_around(address: u64) -> Option<(u64, &'static [u8])> {
    let found = find(address)?;
    let mut code = None;
    // SAFETY: the object was just found mapped, and holds code that is on the stack.
    unsafe {
        each_header(&found, |h, bytes| {
            let start = found.bias.wrapping_add(h.p_vaddr);
            let is_code = h.p_type == libc::PT_LOAD && h.p_flags & libc::PF_X != 0;
            let bytes = bytes.get(..h.p_filesz as usize).unwrap_or(&[]);
            if is_code && (start..start + bytes.len() as u64).contains(&address) {
                code = Some((start, bytes));
            }
        });
    }
    code
}

/// Unwind information of a module, in the program's own memory.
#[derive(Clone, Copy)]
pub(crate) struct EhFrame {
    pub(crate) hdr: &'static [u8],
    pub(crate) hdr_address: u64,
    pub(crate) frame: &'static [u8],
    pub(crate) frame_address: u64,
}

/// An object file that is mapped now.
pub(crate) struct Module {
    pub(crate) found: Found,
    /// Address in memory minus address in the file.
    pub(crate) bias: u64,
    /// Id in the recording.
    pub(crate) id: u32,
    path: Box<[u8]>,
    /// Empty without one.
    build_id: Box<[u8]>,
    /// The path of its file, absolute.
    file_path: Arc<[u8]>,
    /// What tells that from others; `None` where it could not be opened.
    file: Option<FileId>,
    /// The program headers, as they were.
    headers: Box<[u8]>,
    /// What tells the file from another with the same path and program headers: where it lies in
    /// memory, and what it was. The build id, or the start of the unwind table.
    mark: (&'static [u8], Box<[u8]>),
    pub(crate) eh_frame: Option<EhFrame>,
    wrappers: Arc<ModuleWrappers>,
}

impl Module {
    /// Returns whether this module, and no other, is mapped where `found` is.
    ///
    /// # Safety
    /// `found` is mapped: code of it runs or is about to be returned to.
    unsafe fn is_at(&self, found: &Found) -> bool {
        // SAFETY: as the caller promises.
        let has_headers = || bytes_of(unsafe { headers(found) }) == &*self.headers;
        // With the same headers, it is mapped where it was.
        let has_mark = || *self.mark.0 == *self.mark.1;
        self.found == *found && has_headers() && has_mark() && path_of(found) == &*self.path
    }

    /// Returns whether this address (as stated in the file) lies in an allocation wrapper.
    pub(crate) fn is_wrapper(&self, svma: u64) -> bool {
        self.wrappers.contains(svma)
    }
}

/// All modules that were met, by first address, and what is known of the files.
pub(crate) struct Modules {
    by_start: Map<u64, Arc<Module>>,
    /// By identity: the id in the recording and the wrappers. A file that is loaded again, also
    /// elsewhere, keeps them, so that a program that loads and unloads in a loop adds nothing.
    known: Map<Vec<u8>, Known>,
    wrappers: Wrappers,
    /// Files of modules that are unloaded and were not at their paths then, by path and build.
    removed: Map<(Vec<u8>, Build), Arc<Bytes>>,
}

/// What is known of a file that was loaded.
#[derive(Clone)]
struct Known {
    /// Id of the module in the recording.
    id: u32,
    wrappers: Arc<ModuleWrappers>,
    /// Its path, absolute.
    path: Arc<[u8]>,
    /// What tells the file from others; `None` where it could not be opened.
    file: Option<FileId>,
}

/// The program headers of a mapped object; none when they cannot be found.
///
/// # Safety
/// `found` describes an object that stays mapped while code of it runs.
unsafe fn headers(found: &Found) -> &'static [libc::Elf64_Phdr] {
    // Of an object with gaps between its segments the loader reports one segment alone. Then the
    // file's header is mapped at the bias.
    let start = [found.start, found.bias].into_iter().find(|&start| {
        // SAFETY: the start of a segment is mapped, and the bias is read after it was found readable.
        start != 0
            && (start == found.start || crate::sys::is_readable(start as usize))
            && unsafe { *(start as *const [u8; 4]) } == *b"\x7fELF"
    });
    if let Some(start) = start {
        // SAFETY: with the ELF magic there, the program headers follow as the header says; within
        // the first page they are mapped.
        unsafe {
            let header = &*(start as *const libc::Elf64_Ehdr);
            let len = u64::from(header.e_phnum) * size_of::<libc::Elf64_Phdr>() as u64;
            if header.e_phoff <= 4096 && header.e_phoff + len <= 4096 {
                let first = (start + header.e_phoff) as *const libc::Elf64_Phdr;
                return core::slice::from_raw_parts(first, usize::from(header.e_phnum));
            }
        }
    }
    headers_by_iteration(found)
}

fn bytes_of(headers: &[libc::Elf64_Phdr]) -> &[u8] {
    // SAFETY: a program header is 56 bytes without padding.
    unsafe { core::slice::from_raw_parts(headers.as_ptr().cast(), size_of_val(headers)) }
}

/// The program headers of an object from the loader, under its lock: for executables with fixed addresses and
/// gaps, and for files whose headers were moved (by BOLT).
fn headers_by_iteration(found: &Found) -> &'static [libc::Elf64_Phdr] {
    let mut result: &'static [libc::Elf64_Phdr] = &[];
    each_object(|info, headers| {
        let holds_start = headers.iter().any(|h| {
            let at = info.dlpi_addr.wrapping_add(h.p_vaddr);
            h.p_type == libc::PT_LOAD && at & !0xfff <= found.start && found.start < at + h.p_memsz
        });
        if info.dlpi_addr == found.bias && holds_start {
            result = headers;
        }
        !result.is_empty()
    });
    result
}

/// Calls `f` with each program header of a mapped object and the readable bytes from its address to
/// the end of the segment that holds it.
///
/// # Safety
/// `found` is mapped: code of it runs or is about to be returned to.
unsafe fn each_header(found: &Found, mut f: impl FnMut(&libc::Elf64_Phdr, &'static [u8])) {
    // SAFETY: as the caller promises.
    unsafe {
        let headers = headers(found);
        for h in headers {
            f(
                h,
                bytes_from(found, headers, found.bias.wrapping_add(h.p_vaddr)),
            );
        }
    }
}

/// Readable bytes from `at` to the end of the segment that contains it.
///
/// # Safety
/// `headers` are those of the object `found`, which is mapped.
unsafe fn bytes_from(found: &Found, headers: &[libc::Elf64_Phdr], at: u64) -> &'static [u8] {
    for h in headers {
        let start = found.bias.wrapping_add(h.p_vaddr);
        let end = start.wrapping_add(h.p_filesz);
        if h.p_type == libc::PT_LOAD && h.p_flags & libc::PF_R != 0 && start <= at && at < end {
            // SAFETY: the file's part of a readable segment is mapped.
            return unsafe { core::slice::from_raw_parts(at as *const u8, (end - at) as usize) };
        }
    }
    &[]
}

/// The build id of a mapped object, empty without one.
///
/// # Safety
/// `found` is mapped: code of it runs or is about to be returned to.
unsafe fn build_id_of(found: &Found) -> &'static [u8] {
    let mut id: &[u8] = &[];
    // SAFETY: as the caller promises.
    unsafe {
        each_header(found, |h, bytes| {
            if h.p_type == libc::PT_NOTE && id.is_empty() {
                id = bytes
                    .get(..h.p_filesz as usize)
                    .and_then(build_id)
                    .unwrap_or(&[]);
            }
        });
    }
    id
}

/// What stands in for the build id where there is none: a hash over the headers and the start of
/// the unwind table, which change with the code.
///
/// # Safety
/// `found` is mapped: code of it runs or is about to be returned to.
unsafe fn sample_of(found: &Found) -> u64 {
    let mut fnv = Fnv::default();
    // SAFETY: as the caller promises.
    unsafe {
        each_header(found, |h, _| {
            fnv.write_u64(h.p_vaddr ^ h.p_memsz.rotate_left(32));
        });
        fnv.write(unwind_start(found));
    }
    fnv.finish()
}

/// The start of an object's unwind table, a page at most; empty without one.
///
/// # Safety
/// `found` is mapped: code of it runs or is about to be returned to.
unsafe fn unwind_start(found: &Found) -> &'static [u8] {
    let mut start: &'static [u8] = &[];
    // SAFETY: as the caller promises.
    unsafe {
        each_header(found, |h, bytes| {
            if h.p_type == libc::PT_GNU_EH_FRAME {
                start = bytes.get(..h.p_filesz.min(4096) as usize).unwrap_or(bytes);
            }
        });
    }
    start
}

/// The unwind information of a mapped object.
///
/// # Safety
/// `found` is mapped: code of it runs or is about to be returned to.
unsafe fn eh_frame_of(found: &Found) -> Option<EhFrame> {
    let mut hdr: Option<&'static [u8]> = None;
    // SAFETY: as the caller promises.
    unsafe {
        each_header(found, |h, bytes| {
            if h.p_type == libc::PT_GNU_EH_FRAME {
                hdr = bytes.get(..h.p_filesz as usize);
            }
        });
    }
    let hdr = hdr?;
    let hdr_address = hdr.as_ptr() as u64;
    let frame_address = eh_frame_address(hdr, hdr_address)?;
    let mut frame: &'static [u8] = &[];
    // SAFETY: as the caller promises.
    unsafe {
        each_header(found, |h, bytes| {
            let start = found.bias.wrapping_add(h.p_vaddr);
            if h.p_type == libc::PT_LOAD
                && (start..start + bytes.len() as u64).contains(&frame_address)
            {
                frame = bytes.get((frame_address - start) as usize..).unwrap_or(&[]);
            }
        });
    }
    (!frame.is_empty()).then_some(EhFrame {
        hdr,
        hdr_address,
        frame,
        frame_address,
    })
}

/// Where `.eh_frame` starts, by `.eh_frame_hdr`. Its length is not stated: it is taken up to the
/// end of its segment, and an entry of length zero ends it before.
fn eh_frame_address(hdr: &'static [u8], hdr_address: u64) -> Option<u64> {
    let bases = gimli::BaseAddresses::default().set_eh_frame_hdr(hdr_address);
    let parsed = gimli::EhFrameHdr::new(hdr, gimli::LittleEndian)
        .parse(&bases, 8)
        .ok()?;
    match parsed.eh_frame_ptr() {
        gimli::Pointer::Direct(address) => Some(address),
        gimli::Pointer::Indirect(_) => None,
    }
}

/// The GNU build id among an object's notes.
fn build_id(mut notes: &'static [u8]) -> Option<&'static [u8]> {
    const NT_GNU_BUILD_ID: u32 = 3;
    let word = |at: &[u8], i: usize| {
        at.get(i * 4..i * 4 + 4)
            .and_then(|b| b.try_into().ok())
            .map(u32::from_le_bytes)
    };
    loop {
        let (name_len, len, kind) = (
            word(notes, 0)? as usize,
            word(notes, 1)? as usize,
            word(notes, 2)?,
        );
        let name = notes.get(12..12_usize.checked_add(name_len)?)?;
        let start = 12 + name_len.next_multiple_of(4);
        let content = notes.get(start..start.checked_add(len)?)?;
        if kind == NT_GNU_BUILD_ID && name == b"GNU\0" {
            return Some(content);
        }
        notes = notes.get(start + len.next_multiple_of(4)..)?;
    }
}

impl Modules {
    /// None met yet.
    pub(crate) fn new() -> Self {
        Self {
            by_start: map(),
            known: map(),
            removed: map(),
            wrappers: Wrappers::new(settings().trim.get()),
        }
    }

    /// The module that contains an address of code, or `None` for code that no object file holds.
    pub(crate) fn at(
        &self,
        process: &crate::process::Process,
        address: u64,
    ) -> Option<Arc<Module>> {
        let found = find(address)?;
        if let Some(known) = get(&self.by_start, &found.start) {
            // SAFETY: code at `address` runs or is about to be returned to, so its object is mapped.
            let is_at = unsafe { known.is_at(&found) };
            if is_at {
                return Some(known);
            }
        }
        // SAFETY: code at `address` keeps the object mapped.
        let build_id = unsafe { build_id_of(&found) };
        let path = path_of(&found);
        let mut identity = Vec::with_capacity(path.len() + 64);
        identity.extend_from_slice(path);
        identity.push(0);
        let mark = if build_id.is_empty() {
            // SAFETY: code at `address` keeps the object mapped.
            let (sample, start) = unsafe { (sample_of(&found), unwind_start(&found)) };
            identity.extend_from_slice(&sample.to_le_bytes());
            start
        } else {
            identity.extend_from_slice(build_id);
            build_id
        };
        self.forget_where(process, |module| {
            module.found.start < found.end && found.start < module.found.end
        });
        let known = self.describe(process, &found, path, build_id, &identity);
        // SAFETY: code at `address` keeps the object mapped.
        let eh_frame = unsafe { eh_frame_of(&found) };
        let module = Arc::new(Module {
            bias: found.bias,
            found,
            id: known.id,
            path: path.into(),
            build_id: build_id.into(),
            file_path: known.path,
            file: known.file,
            // SAFETY: code at `address` keeps the object mapped.
            headers: bytes_of(unsafe { headers(&found) }).into(),
            mark: (mark, mark.into()),
            eh_frame,
            wrappers: known.wrappers,
        });
        Some(get_or_put(&self.by_start, &found.start, module))
    }

    fn describe(
        &self,
        process: &crate::process::Process,
        found: &Found,
        path: &[u8],
        build_id: &[u8],
        identity: &[u8],
    ) -> Known {
        let identity = identity.to_vec();
        if let Some(known) = get(&self.known, &identity) {
            return known;
        }
        let recording = &process.recording;
        let add = |path: &[u8]| {
            recording
                .add_module(found.start, found.end, found.bias, path, build_id)
                .unwrap_or(0)
        };
        let known = if confined::is_confined() {
            Known {
                id: add(path),
                wrappers: Arc::default(),
                path: path.into(),
                file: None,
            }
        } else {
            let module = module_file::find(found, path, build_id);
            let id = add(&module.path);
            if let Some(file) = module.id() {
                recording.add_file(id, file);
            }
            // Where no recording can be made, a filter may forbid more, and the tool looks for no names.
            if recording.path().is_some() {
                module.hand_over(build_id);
            }
            Known {
                id,
                path: (&*module.path).into(),
                file: module.id(),
                wrappers: module
                    .into_object()
                    .map(|object| self.wrappers.in_file(object))
                    .unwrap_or_default()
                    .into(),
            }
        };
        get_or_put(&self.known, &identity, known)
    }

    /// Before `dlclose`, where the names are found at the end of the process: keeps what can still be read of
    /// files that are not at their paths any more.
    pub(crate) fn keep_removed(&self) {
        if !settings().session.get().is_empty() || confined::is_confined() {
            return;
        }
        for module in self.by_start.iter() {
            let id = ObjectId {
                path: &module.file_path,
                build_id: &module.build_id,
                file: module.file,
            };
            let key = (id.path.to_vec(), id.build());
            if module_file::is_gone(&id)
                && get(&self.removed, &key).is_none()
                && let Some(file) = module_file::find_mapped(&id)
            {
                get_or_put(&self.removed, &key, Arc::new(file.bytes));
            }
        }
    }

    /// The file of a module that is not at its path, and was not there when the module was unloaded.
    pub(crate) fn removed(&self, module: &ObjectId<'_>) -> Option<MappedFile> {
        let key = (module.path.to_vec(), module.build());
        let bytes = Bytes::Shared(get(&self.removed, &key)?);
        Some(MappedFile::of_memory(bytes, module.file?))
    }

    /// Forgets the rules of modules that fit the condition, and the modules.
    fn forget_where(&self, process: &crate::process::Process, gone: impl Fn(&Module) -> bool) {
        let mut starts = Vec::new();
        for module in self.by_start.iter() {
            if gone(module.value()) {
                starts.push((*module.key(), module.found.end));
            }
        }
        for (start, end) in starts {
            super::table::forget(&process.rules_lock, start, end);
            while let TryResult::Locked = self.by_start.try_get(&start) {
                crate::sys::yield_now();
            }
            drop(self.by_start.remove(&start));
        }
    }

    /// After `dlclose`: forgets every module that is no longer where it was.
    pub(crate) fn forget_unloaded(&self, process: &crate::process::Process) {
        let places: Vec<Found> = self.by_start.iter().map(|module| module.found).collect();
        for place in places {
            if find(place.start) != Some(place) {
                self.forget_where(process, |module| module.found == place);
            }
        }
    }
}

fn path_of(found: &Found) -> &'static [u8] {
    let name: &[u8] = if found.name == 0 {
        &[]
    } else {
        // SAFETY: the loader keeps the name, a C string, while the object is mapped.
        unsafe { CStr::from_ptr(found.name as *const _) }.to_bytes()
    };
    if name.is_empty() {
        settings().exe.get()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_glibc_gets_the_same_answers_as_a_new_one_gives() {
        // The program, objects that the loader has mapped at the start, and the kernel's.
        // SAFETY: asks for a number.
        let vdso = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) };
        let in_library = |name: &CStr| crate::elf::definition_in_libc(name) as u64;
        let inside = [
            find as fn(u64) -> Option<Found> as usize as u64,
            in_library(c"malloc"),
            crate::elf::loader().map_or(0, |loader| loader.l_addr as u64 + 64),
            vdso + 64,
        ];
        for address in inside {
            let found = find(address).expect("an object");
            assert!((found.start..found.end).contains(&address), "{found:?}");
            assert_ne!(found.eh_frame_hdr, 0, "{found:?}");
            for address in [address, found.start, found.end - 1] {
                assert_eq!(find_by_iteration(address), find(address));
            }
        }
        let stack = (&raw const inside) as u64;
        for address in [0, 1, stack, 1 << 47, u64::MAX] {
            assert_eq!((find(address), find_by_iteration(address)), (None, None));
        }
    }
}
