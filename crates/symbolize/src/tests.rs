//! Object files made for the tests, and tests of the whole way from a file to a name.

use super::*;
use object_file::ObjectFile;
use std::fs;
use std::path::Path;
use std::process::Command;

/// A symbol of a made-up object file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sym {
    pub(crate) name: &'static str,
    pub(crate) start: u64,
    pub(crate) size: u64,
    kind: u8,
    binding: u8,
}

impl Sym {
    pub(crate) fn function(name: &'static str, start: u64, size: u64) -> Self {
        Self {
            name,
            start,
            size,
            kind: object::elf::STT_FUNC,
            binding: object::elf::STB_GLOBAL,
        }
    }

    pub(crate) fn local(self) -> Self {
        Self {
            binding: object::elf::STB_LOCAL,
            ..self
        }
    }

    pub(crate) fn weak(self) -> Self {
        Self {
            binding: object::elf::STB_WEAK,
            ..self
        }
    }

    /// Whether it is a label, whether it is local, and whether it is weak.
    pub(crate) fn attributes(&self) -> (bool, bool, bool) {
        (
            self.kind == object::elf::STT_NOTYPE,
            self.binding == object::elf::STB_LOCAL,
            self.binding == object::elf::STB_WEAK,
        )
    }

    pub(crate) fn label(self) -> Self {
        Self {
            kind: object::elf::STT_NOTYPE,
            ..self
        }
    }
}

/// An ELF file with these symbols and one section of code at 0x1000..0x2000.
pub(crate) fn elf(list: &[Sym]) -> ObjectFile {
    ObjectFile::new(vec![bytes::Bytes::Owned(elf_bytes(list))])
}

fn elf_bytes(list: &[Sym]) -> Vec<u8> {
    let mut strings = vec![0];
    let mut symbols = vec![0; 24];
    for sym in list {
        symbols.extend((strings.len() as u32).to_le_bytes());
        symbols.extend([sym.binding << 4 | sym.kind, 0, 1, 0]);
        symbols.extend(sym.start.to_le_bytes());
        symbols.extend(sym.size.to_le_bytes());
        strings.extend(sym.name.bytes().chain([0]));
    }
    let section =
        |kind: u32, flags: u64, address: u64, offset: usize, size: usize, link: u32, entry: u64| {
            let words = [flags, address, offset as u64, size as u64];
            let mut header = [0_u32.to_le_bytes(), kind.to_le_bytes()].concat();
            header.extend(words.iter().flat_map(|word| word.to_le_bytes()));
            header.extend([link.to_le_bytes(), 0_u32.to_le_bytes()].concat());
            header.extend([8, entry].iter().flat_map(|word| word.to_le_bytes()));
            header
        };
    let strings_at = 64 + symbols.len();
    let sections_at = (strings_at + strings.len()).next_multiple_of(8);
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0".to_vec();
    file.extend(
        [0, 0, sections_at as u64]
            .iter()
            .flat_map(|word| word.to_le_bytes()),
    );
    file.extend([0_u8; 4]);
    file.extend(
        [64, 56, 0, 64, 4, 3]
            .iter()
            .flat_map(|half: &u16| half.to_le_bytes()),
    );
    file.extend(&symbols);
    file.extend(&strings);
    file.resize(sections_at, 0);
    file.extend(section(0, 0, 0, 0, 0, 0, 0));
    file.extend(section(
        object::elf::SHT_PROGBITS,
        6,
        0x1000,
        0,
        0x1000,
        0,
        0,
    ));
    file.extend(section(
        object::elf::SHT_SYMTAB,
        0,
        0,
        64,
        symbols.len(),
        3,
        24,
    ));
    file.extend(section(
        object::elf::SHT_STRTAB,
        0,
        0,
        strings_at,
        strings.len(),
        0,
        0,
    ));
    file
}

fn module<'a>(path: &'a Path, build_id: &'a [u8]) -> ObjectId<'a> {
    use std::os::unix::ffi::OsStrExt;
    ObjectId {
        path: path.as_os_str().as_bytes(),
        build_id,
        file: None,
    }
}

/// Runs a tool of the compiler suite, which the build needs anyway.
fn run(folder: &Path, command: &[&str]) -> String {
    let output = Command::new(command[0])
        .args(&command[1..])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A program with functions of all kinds; `main.o` beside it is not stripped.
const PROGRAM: &str = "
    static __attribute__((noinline)) int hidden(int x) { return x * 3 + 1; }
    __attribute__((noinline, visibility(\"default\"))) int shown(int x) { return hidden(x) + hidden(x + 1); }
    int main(int argc, char **argv) { return shown(argc) & 1; }
";

struct Built {
    folder: tempfile::TempDir,
    /// Name and first address of each function.
    functions: Vec<(String, u64)>,
    build_id: Vec<u8>,
}

fn build() -> Built {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p.c"), PROGRAM).unwrap();
    run(
        folder.path(),
        &[
            "cc",
            "-O1",
            "-g",
            "-rdynamic",
            "-Wl,--build-id",
            "p.c",
            "-o",
            "p",
        ],
    );
    let bytes = std::fs::read(folder.path().join("p")).unwrap();
    let elf = elf::Elf::parse(&bytes).unwrap();
    let mut functions = Vec::new();
    for table in elf.symbol_tables().take(1) {
        for symbol in table.functions() {
            let name = elf::name_at(&bytes, &table.strings, symbol.name);
            functions.push((String::from_utf8(name.to_vec()).unwrap(), symbol.start));
        }
    }
    functions.retain(|(name, _)| ["hidden", "shown", "main"].contains(&name.as_str()));
    assert_eq!(functions.len(), 3);
    Built {
        build_id: elf.build_id().to_vec(),
        folder,
        functions,
    }
}

impl Built {
    fn start(&self, name: &str) -> u64 {
        self.functions
            .iter()
            .find(|function| function.0 == name)
            .unwrap()
            .1
    }

    /// Name that the file gets for an address in the middle of a function.
    fn name(&self, file: &str, build_id: &[u8], function: &str) -> String {
        let path = self.folder.path().join(file);
        let name =
            Symbolizer::new().function(&NOBODY, &module(&path, build_id), self.start(function) + 3);
        name.to_string()
    }
}

#[test]
fn names_come_from_the_symbol_table() {
    let built = build();
    for name in ["hidden", "shown", "main"] {
        assert_eq!(built.name("p", &built.build_id, name), name);
    }
}

#[test]
fn a_stripped_file_names_functions_by_where_they_start() {
    let built = build();
    run(built.folder.path(), &["strip", "p", "-o", "stripped"]);
    assert_eq!(built.name("stripped", &built.build_id, "shown"), "shown");
    let hidden = format!("stripped+{:#x}", built.start("hidden"));
    assert_eq!(built.name("stripped", &built.build_id, "hidden"), hidden);
}

#[test]
fn a_debug_file_is_found_by_its_link_and_must_fit() {
    let built = build();
    let folder = built.folder.path();
    run(folder, &["objcopy", "--only-keep-debug", "p", "p.debug"]);
    run(
        folder,
        &[
            "objcopy",
            "--strip-all",
            "--add-gnu-debuglink=p.debug",
            "p",
            "linked",
        ],
    );
    assert_eq!(built.name("linked", &built.build_id, "hidden"), "hidden");
    // In the folder of that name as well.
    std::fs::create_dir(folder.join(".debug")).unwrap();
    std::fs::rename(folder.join("p.debug"), folder.join(".debug/p.debug")).unwrap();
    assert_eq!(built.name("linked", &built.build_id, "hidden"), "hidden");
    // Without build ids, by the checksum.
    run(
        folder,
        &[
            "objcopy",
            "--remove-section=.note.gnu.build-id",
            "linked",
            "anonymous",
        ],
    );
    assert_eq!(built.name("anonymous", b"", "hidden"), "hidden");
    run(folder, &["sh", "-c", "printf x >> .debug/p.debug"]);
    assert_eq!(built.name("linked", &built.build_id, "hidden"), "hidden");
    assert!(
        built
            .name("anonymous", b"", "hidden")
            .starts_with("anonymous+0x")
    );
}

#[test]
fn a_packed_symbol_table_is_read() {
    let built = build();
    let folder = built.folder.path();
    run(
        folder,
        &[
            "objcopy",
            "--only-keep-debug",
            "--remove-section=.debug*",
            "p",
            "mini",
        ],
    );
    let mut packed = Vec::new();
    let mini = std::fs::read(folder.join("mini")).unwrap();
    lzma_rs::xz_compress(&mut std::io::Cursor::new(mini), &mut packed).unwrap();
    std::fs::write(folder.join("mini.xz"), packed).unwrap();
    run(
        folder,
        &[
            "objcopy",
            "--strip-all",
            "--add-section=.gnu_debugdata=mini.xz",
            "p",
            "packed",
        ],
    );
    assert_eq!(built.name("packed", &built.build_id, "hidden"), "hidden");
}

#[test]
fn a_file_that_was_replaced_lends_no_names() {
    let built = build();
    let mut other = built.build_id.clone();
    other[0] ^= 1;
    assert_eq!(
        built.name("p", &other, "main"),
        format!("p+{:#x}", built.start("main") + 3)
    );
}

/// A process that has left no files.
const NOBODY: Origin = Origin {
    pid: u32::MAX,
    uid: u32::MAX,
    start_ns: u64::MAX >> 1,
};

#[test]
fn a_name_is_never_empty() {
    let mut symbolizer = Symbolizer::new();
    assert_eq!(&*symbolizer.made_at_run_time(&NOBODY, 0x1234), "[unknown]");
    let gone = module(Path::new("/nowhere/libgone.so"), b"");
    assert_eq!(
        &*symbolizer.function(&NOBODY, &gone, 0x1234),
        "libgone.so+0x1234"
    );
    let vdso = module(Path::new("linux-vdso.so.1"), b"");
    assert_eq!(
        &*symbolizer.function(&NOBODY, &vdso, 0x10),
        "linux-vdso.so.1+0x10"
    );
    assert_eq!(
        &*symbolizer.function(&NOBODY, &module(Path::new(""), b""), 0x10),
        "[unknown]+0x10"
    );
}

#[test]
fn a_pipe_in_place_of_a_file_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["mkfifo", "pipe"]);
    let path = folder.path().join("pipe");
    assert_eq!(
        &*Symbolizer::new().function(&NOBODY, &module(&path, b""), 1),
        "pipe+0x1"
    );
}

#[test]
fn a_nameless_function_behind_one_without_a_size_keeps_its_own_name() {
    let folder = tempfile::tempdir().unwrap();
    let source = ".globl first\n.type first,@function\nfirst: ret\n.byte 0,0,0\n\
                  second: .cfi_startproc\nnop\nnop\nnop\nret\n.cfi_endproc\n";
    std::fs::write(folder.path().join("a.s"), source).unwrap();
    run(
        folder.path(),
        &["cc", "-shared", "-nostdlib", "a.s", "-o", "a.so"],
    );
    run(folder.path(), &["strip", "a.so"]);
    let path = folder.path().join("a.so");
    let file = ObjectFile::open(&module(&path, b"")).unwrap();
    let mut first = 0;
    file.function_tables(|_, symbols| first = symbols.next().unwrap().start);
    let mut symbolizer = Symbolizer::new();
    assert_eq!(
        &*symbolizer.function(&NOBODY, &module(&path, b""), first),
        "first"
    );
    let second = symbolizer
        .function(&NOBODY, &module(&path, b""), first + 6)
        .to_string();
    assert_eq!(second, format!("a.so+{:#x}", first + 4));
}

#[test]
fn wrappers_of_a_file_are_sorted_disjoint_ranges() {
    let file = elf(&[
        Sym::function("xmalloc", 0x1200, 8),
        Sym::function("_Znwm", 0x1100, 0x20),
        Sym::function("main", 0x1000, 0x20),
        Sym::function("_Znam", 0x1110, 0x20),
        Sym::function("_ZnwmRKSt9nothrow_t", 0x1140, 0),
    ]);
    assert_eq!(
        wrappers::Wrappers::new(b"").ranges_in(&file),
        [(0x1100, 0x1130)]
    );
    assert_eq!(
        wrappers::Wrappers::new(b"xmal*").ranges_in(&file),
        [(0x1100, 0x1130), (0x1200, 0x1208)]
    );
}

#[test]
fn a_section_that_unpacks_to_more_than_it_can_hold_is_left_out() {
    use super::elf::Elf;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("a.c"), "int main(void) { return 0; }").unwrap();
    fs::File::create(path("zeros"))
        .unwrap()
        .set_len(80 << 20)
        .unwrap();
    let run = |program: &str, args: &[&str]| {
        let status = Command::new(program)
            .current_dir(&folder)
            .args(args)
            .status();
        assert!(status.unwrap().success(), "{program}");
    };
    run("gcc", &["-g", "-c", "a.c", "-o", "a.o"]);
    run(
        "objcopy",
        &["--add-section", ".debug_made_up=zeros", "a.o", "b.o"],
    );
    run(
        "objcopy",
        &["--compress-debug-sections=zlib", "b.o", "bomb"],
    );
    let bytes = fs::read(path("bomb")).unwrap();
    assert!(bytes.len() < 1 << 20, "{} bytes", bytes.len());
    let elf = Elf::parse(&bytes).unwrap();
    assert!(elf.unpacked_section(b".debug_made_up").is_empty());
    assert!(!elf.unpacked_section(b".debug_info").is_empty());
}

#[test]
fn globs_without_a_word_are_compared_with_the_functions_that_are_met() {
    let file = || {
        elf(&[
            Sym::function("_ZN3FoonwEm", 0x1200, 8),
            Sym::function("_ZN3FooclEv", 0x1100, 0x40),
            Sym::function("inner", 0x1110, 4),
            Sym::function("_ZN3FooixEi", 0x1300, 0),
            Sym::function("xmalloc", 0x1400, 8),
        ])
    };
    let wrappers = wrappers::Wrappers::new(b"Foo::operator*;xmal*").in_file(file());
    for (address, is_wrapper) in [
        (0x10ff, false),
        (0x1100, true),
        (0x1112, true),
        (0x113f, true),
        (0x1140, false),
        (0x1207, true),
        (0x1208, false),
        (0x1300, false),
        (0x1400, true),
        (0x1500, false),
    ] {
        assert_eq!(wrappers.contains(address), is_wrapper, "{address:#x}");
    }
    let wrappers = wrappers::Wrappers::new(b"*(int)").in_file(file());
    assert!(!wrappers.contains(0x1100) && !wrappers.contains(0x1400));
}

#[test]
fn a_file_without_a_build_id_is_known_by_what_it_was_when_it_was_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p");
    std::fs::write(
        folder.path().join("a.c"),
        "void shown(void) {}\nint main(void) {}\n",
    )
    .unwrap();
    let build = ["cc", "-Wl,--build-id=none", "a.c", "-o", "p"];
    run(folder.path(), &build);
    let loaded = FileId::of(&path.metadata().unwrap());
    let is_it = |file| {
        let module = ObjectId {
            file: Some(file),
            ..module(&path, b"")
        };
        object_file::open_checked(&module).map(|_| ())
    };
    assert_eq!(is_it(loaded), Ok(()));
    let other = FileId {
        modified_ns: loaded.modified_ns + 1,
        ..loaded
    };
    assert_eq!(is_it(other), Err(Missing::Replaced));
    // The same text, built again.
    std::fs::rename(&path, folder.path().join("old")).unwrap();
    assert_eq!(is_it(loaded), Err(Missing::Gone));
    run(folder.path(), &build);
    assert_eq!(is_it(loaded), Err(Missing::Replaced));
    let mut symbolizer = Symbolizer::new();
    let gone = module(Path::new("/nowhere/libgone.so"), b"");
    symbolizer.function(&NOBODY, &gone, 0x1234);
    symbolizer.function(&NOBODY, &module(Path::new("linux-vdso.so.1"), b""), 1);
    let expected = MissingFile {
        path: b"/nowhere/libgone.so",
        build: &Build::File(None),
        why: Missing::Gone,
    };
    assert_eq!(symbolizer.missing_files(), [expected]);
}

/// A zlib stream that holds `bytes` as they are.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let blocks: Vec<_> = bytes.chunks(0xffff).collect();
    for (i, block) in blocks.iter().enumerate() {
        let len = block.len() as u16;
        stream.push(u8::from(i + 1 == blocks.len()));
        stream.extend(len.to_le_bytes());
        stream.extend((!len).to_le_bytes());
        stream.extend(*block);
    }
    let (mut low, mut high) = (1_u32, 0_u32);
    for &byte in bytes {
        low = (low + u32::from(byte)) % 65521;
        high = (high + low) % 65521;
    }
    stream.extend((high << 16 | low).to_be_bytes());
    stream
}

/// The file with its full symbol table, or the names of that, compressed as ELF says.
fn with_compressed(file: &[u8], is_names: bool) -> Vec<u8> {
    let word = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap()) as usize;
    let half = |at: usize| usize::from(u16::from_le_bytes(file[at..at + 2].try_into().unwrap()));
    let header = |number: usize| word(0x28) + number * half(0x3a);
    let kind = |number: usize| file[header(number) + 4];
    let symbols = (0..half(0x3c))
        .find(|&number| u32::from(kind(number)) == object::elf::SHT_SYMTAB)
        .unwrap();
    let section = match is_names {
        true => header(usize::from(file[header(symbols) + 0x28])),
        false => header(symbols),
    };
    let (at, len) = (word(section + 0x18), word(section + 0x20));
    let mut changed = file.to_vec();
    let start = changed.len();
    // The compression header: zlib, the length, and what the section was aligned to.
    for number in [1, len as u64, 8] {
        changed.extend(number.to_le_bytes());
    }
    changed.extend(stored(&file[at..at + len]));
    let new_len = changed.len() - start;
    // SHF_COMPRESSED
    changed[section + 9] |= 8;
    for (field, value) in [(0x18, start), (0x20, new_len)] {
        let field = section + field;
        changed[field..field + 8].copy_from_slice(&(value as u64).to_le_bytes());
    }
    changed
}

#[test]
fn compressed_symbol_tables_are_read() {
    let built = build();
    let path = built.folder.path().join("p");
    let file = std::fs::read(&path).unwrap();
    for is_names in [false, true] {
        let packed = with_compressed(&file, is_names);
        std::fs::write(built.folder.path().join("packed"), &packed).unwrap();
        let sections = run(built.folder.path(), &["readelf", "-SW", "packed"]);
        assert!(
            sections
                .lines()
                .any(|line| line.contains("tab ") && line.contains(" C ")),
            "{sections}"
        );
        for name in ["hidden", "shown", "main"] {
            assert_eq!(built.name("packed", &built.build_id, name), name);
        }
        // One that ends early names nothing, and harms nobody.
        std::fs::write(
            built.folder.path().join("cut"),
            &packed[..packed.len() - 40],
        )
        .unwrap();
        let hidden = built.name("cut", &built.build_id, "hidden");
        assert!(hidden.starts_with("cut+0x"), "{hidden}");
    }
}
