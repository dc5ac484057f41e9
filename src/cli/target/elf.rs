//! What kind of program an ELF file is, from its headers alone.

use object::elf::{self, ELFCLASS32, ET_DYN, ET_EXEC, FileHeader32, FileHeader64, PT_DYNAMIC};
use object::read::elf::{Dyn, FileHeader, ProgramHeader, Sym};
use object::{Endianness, ReadCache};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The machine that the tool, and the library in it, is built for.
const MACHINE: u16 = match () {
    () if cfg!(target_arch = "x86_64") => elf::EM_X86_64,
    () if cfg!(target_arch = "aarch64") => elf::EM_AARCH64,
    () => elf::EM_NONE,
};

/// What kind of program it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// For this machine, to be loaded by the loader of this path.
    Loader(PathBuf),
    /// The loader itself, executed to load a program that its arguments name.
    LoaderItself,
    /// No loader: statically linked, position-independent or not.
    Static,
    /// A dynamically linked program that Go's linker made.
    StaticGo,
    /// For a 32-bit machine.
    Bits32,
    /// For another machine, by its name.
    Machine(String),
}

/// Reads the headers of a program.
///
/// # Errors
/// When it cannot be read or they make no sense.
pub(super) fn kind(path: &Path) -> io::Result<Kind> {
    let cache = ReadCache::new(File::open(path)?);
    let bad =
        |error: object::read::Error| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
    let class = object::ReadRef::read_bytes_at(&cache, 4, 1)
        .map_err(|()| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    if class == [ELFCLASS32] {
        let header = FileHeader32::<Endianness>::parse(&cache).map_err(bad)?;
        let machine = header.e_machine(header.endian().map_err(bad)?);
        return Ok(match machine {
            elf::EM_386 | elf::EM_ARM | elf::EM_X86_64 => Kind::Bits32,
            other => Kind::Machine(machine_name(other)),
        });
    }
    let header = FileHeader64::<Endianness>::parse(&cache).map_err(bad)?;
    let endian = header.endian().map_err(bad)?;
    let machine = header.e_machine(endian);
    if machine != MACHINE {
        return Ok(Kind::Machine(machine_name(machine)));
    }
    let kind = header.e_type(endian);
    if kind != ET_EXEC && kind != ET_DYN {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "an ELF file, but not a program",
        ));
    }
    let segments = header.program_headers(endian, &cache).map_err(bad)?;
    let (mut is_dynamic, mut is_go) = (false, false);
    for segment in segments {
        if let Some(loader) = segment.interpreter(endian, &cache).map_err(bad)? {
            return Ok(Kind::Loader(OsString::from_vec(loader.to_vec()).into()));
        }
        is_dynamic |= segment.p_type(endian) == PT_DYNAMIC;
        // A note that cannot be read is no reason to refuse the program.
        if let Ok(Some(mut notes)) = segment.notes(endian, &cache) {
            while let Ok(Some(note)) = notes.next() {
                is_go |= note.name() == b"Go";
            }
        }
    }
    if is_dynamic && is_loader(path) {
        return Ok(Kind::LoaderItself);
    }
    Ok(if is_go { Kind::StaticGo } else { Kind::Static })
}

/// The runtime of AddressSanitizer that a program is linked with as a library and that refuses to start
/// behind a preloaded one; `None` where there is none, or the program has options for it of its own.
pub(super) fn address_sanitizer(path: &Path) -> Option<String> {
    let cache = ReadCache::new(File::open(path).ok()?);
    let header = FileHeader64::<Endianness>::parse(&cache).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, &cache).ok()?;
    let symbols = sections.symbols(endian, &cache, elf::SHT_DYNSYM).ok()?;
    let has_options = symbols.iter().any(|symbol| {
        symbol.st_shndx(endian) != elf::SHN_UNDEF
            && symbol.name(endian, symbols.strings()) == Ok(b"__asan_default_options")
    });
    let (dynamic, strings) = sections.dynamic(endian, &cache).ok()??;
    let strings = sections.strings(endian, &cache, strings).ok()?;
    let needed = dynamic.iter().filter_map(|entry| {
        let is_needed = entry.d_tag(endian) == elf::DT_NEEDED;
        is_needed.then(|| entry.string(endian, strings).ok())?
    });
    let mut runtimes = needed
        .map(String::from_utf8_lossy)
        .filter(|name| name.starts_with("libasan.so") || name.starts_with("libclang_rt.asan"));
    runtimes.next().filter(|_| !has_options).map(Into::into)
}

/// A C library for which there are programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CLibrary {
    Glibc,
    Musl,
    Unknown,
}

/// The C library that a loader belongs to, by its name. musl's loader is the C library itself, to
/// which its name may be a link.
pub(super) fn c_library_of(loader: &Path) -> CLibrary {
    let name = loader.file_name().unwrap_or_default().as_bytes();
    let folder = loader.parent().and_then(Path::file_name);
    let is_of_musl = folder.is_some_and(|folder| folder.as_bytes().ends_with(b"-musl"));
    let is_glibcs = [&b"ld-linux"[..], b"ld-2.", b"ld.so"]
        .iter()
        .any(|prefix| name.starts_with(prefix));
    if name.starts_with(b"ld-musl") || name == b"libc.so" && is_of_musl {
        CLibrary::Musl
    } else if is_glibcs {
        CLibrary::Glibc
    } else {
        CLibrary::Unknown
    }
}

/// Returns whether it is a loader, by its name. `ld.so PROGRAM` obeys LD_PRELOAD as PROGRAM does.
fn is_loader(path: &Path) -> bool {
    c_library_of(path) != CLibrary::Unknown
}

fn machine_name(machine: u16) -> String {
    match machine {
        elf::EM_386 => "x86, 32 bit".into(),
        elf::EM_X86_64 => "x86-64".into(),
        elf::EM_ARM => "ARM, 32 bit".into(),
        elf::EM_AARCH64 => "AArch64".into(),
        elf::EM_RISCV => "RISC-V".into(),
        elf::EM_PPC64 => "POWER".into(),
        elf::EM_S390 => "s390".into(),
        elf::EM_LOONGARCH => "LoongArch".into(),
        elf::EM_MIPS => "MIPS".into(),
        other => format!("ELF machine {other}"),
    }
}
