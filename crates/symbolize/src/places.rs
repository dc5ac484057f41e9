//! Source lines and inlined functions by module and address, each looked up once.

use super::demangle::demangle;
use super::dwarf::{Located, locate};
use super::hash::FastMap;
use crate::identity::{Build, ObjectId};
use skipheap_text::printable;
use std::rc::Rc;

/// A function at an address, and where the address is in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its name, demangled; `None` where the compiler gave none.
    pub function: Option<Rc<str>>,
    /// Path of the source file.
    pub file: Option<Rc<str>>,
    /// Line in it.
    pub line: Option<u32>,
}

/// Places of one build of a file: for an address, where its places begin in the list and how many they
/// are.
#[derive(Default)]
struct ModulePlaces {
    by_address: FastMap<u64, (u32, u32)>,
    places: Vec<Place>,
}

/// Remembers each address; texts are shared.
#[derive(Default)]
pub struct Places {
    /// By path, then by build.
    modules: FastMap<Vec<u8>, FastMap<Build, ModulePlaces>>,
    functions: FastMap<Vec<u8>, Rc<str>>,
    files: FastMap<String, Rc<str>>,
    /// No further files are opened.
    is_hurried: bool,
}

impl Places {
    /// From here on no further files are opened: other addresses have no places.
    pub fn hurry(&mut self) {
        self.is_hurried = true;
    }

    /// Looks these addresses (SVMA; for a return address one less) of a module up, at once.
    pub fn prepare(&mut self, module: &ObjectId<'_>, mut lookups: Vec<u64>) {
        let builds = self.modules.entry(module.path.to_vec()).or_default();
        let known = builds.entry(module.build()).or_default();
        lookups.retain(|lookup| !known.by_address.contains_key(lookup));
        lookups.sort_unstable();
        lookups.dedup();
        let (functions, files) = (&mut self.functions, &mut self.files);
        if self.is_hurried || lookups.is_empty() {
            return;
        }
        locate(module, &lookups, |lookup, located: Located<'_>| {
            let place = Place {
                function: located.function.map(|name| text(functions, name, demangle)),
                file: located.file.map(|file| {
                    let escape = |file: &str| printable(file.as_bytes());
                    text(files, file, escape)
                }),
                line: located.line,
            };
            let start = known.places.len() as u32;
            known.by_address.entry(lookup).or_insert((start, 0)).1 += 1;
            known.places.push(place);
        });
        for lookup in lookups {
            known.by_address.entry(lookup).or_default();
        }
    }

    /// Takes over what another one has found at an address of a module.
    pub fn learn(
        &mut self,
        module: &ObjectId<'_>,
        lookup: u64,
        found: impl Iterator<Item = Place>,
    ) {
        let builds = self.modules.entry(module.path.to_vec()).or_default();
        let known = builds.entry(module.build()).or_default();
        let start = known.places.len();
        known.places.extend(found);
        let len = known.places.len() - start;
        known.by_address.insert(lookup, (start as u32, len as u32));
    }

    /// The functions at an address that was prepared, innermost first: the last one is the function with a
    /// symbol, the others are inlined into it. None where there is no debug information.
    pub fn at(&self, module: &ObjectId<'_>, lookup: u64) -> &[Place] {
        let find = || {
            let known = self.modules.get(module.path)?.get(&module.build())?;
            let &(start, len) = known.by_address.get(&lookup)?;
            known.places.get(start as usize..(start + len) as usize)
        };
        find().unwrap_or(&[])
    }
}

/// The one copy of a text.
fn text<K, B>(known: &mut FastMap<B, Rc<str>>, key: &K, write: impl FnOnce(&K) -> String) -> Rc<str>
where
    K: ?Sized + std::hash::Hash + Eq + ToOwned<Owned = B>,
    B: std::borrow::Borrow<K> + std::hash::Hash + Eq,
{
    if let Some(text) = known.get(key) {
        return Rc::clone(text);
    }
    let text: Rc<str> = write(key).into();
    known.insert(key.to_owned(), Rc::clone(&text));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Symbolizer;
    use crate::dwarf::locate_in;
    use crate::elf::Elf;
    use crate::identity::Origin;
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;
    use std::path::Path;
    use std::process::Command;

    const SOURCE: &str = "\
#include <stdlib.h>
static inline __attribute__((always_inline)) void *inner(int n) {
    return malloc(n);
}
static inline __attribute__((always_inline)) void *outer(int n) {
    return inner(n + 1);
}
__attribute__((noinline)) void *take(int n) {
    void *p = outer(n);
    *(char *)p = 1;
    return p;
}
int main(void) { free(take(7)); }
";

    fn run(program: &str, arguments: &[&str], folder: &Path) -> String {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .output()
            .expect("started");
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {output:?}"
        );
        String::from_utf8(output.stdout).expect("text")
    }

    /// The address of the first instruction behind the call of malloc in `take`, less one.
    fn call(folder: &Path) -> u64 {
        let code = run("objdump", &["-d", "--no-show-raw-insn", "whole"], folder);
        let mut lines = code
            .lines()
            .skip_while(|line| !line.ends_with("<take>:"))
            .skip_while(|line| !line.contains("malloc"));
        lines.next().expect("the call");
        let next = lines.next().expect("an instruction").trim_start();
        u64::from_str_radix(next.split(':').next().expect("an address"), 16).expect("hex") - 1
    }

    fn described(folder: &Path, file: &str, lookup: u64) -> Vec<String> {
        let path = folder.join(file);
        let module = ObjectId {
            path: path.as_os_str().as_encoded_bytes(),
            build_id: &[],
            file: None,
        };
        let mut places = Places::default();
        places.prepare(&module, vec![lookup, 1]);
        assert_eq!(places.at(&module, 1), [], "no function is there");
        let file_name = |file: &str| file.rsplit('/').next().unwrap_or("").to_owned();
        places
            .at(&module, lookup)
            .iter()
            .map(|place| {
                let file = place.file.as_deref().map(file_name);
                let function = place.function.as_deref().unwrap_or("-");
                format!(
                    "{function} {}:{}",
                    file.unwrap_or_default(),
                    place.line.unwrap_or(0)
                )
            })
            .collect()
    }

    /// The fixture, and the address of its call.
    fn built(folder: &Path, options: &[&str]) -> u64 {
        std::fs::write(folder.join("a.c"), SOURCE).expect("written");
        let arguments = ["-O2", "a.c", "-o", "whole"];
        run("gcc", &[&arguments[..], options].concat(), folder);
        call(folder)
    }

    #[test]
    fn damaged_debug_information_is_survived() {
        let folder = tempfile::tempdir().expect("a folder");
        let lookup = built(folder.path(), &["-g", "-gz=none"]);
        let whole = std::fs::read(folder.path().join("whole")).expect("read");
        let elf = Elf::parse(&whole).expect("a file");
        // Where the sections lie in the file.
        let places: Vec<usize> = [".debug_info", ".debug_abbrev", ".debug_line"]
            .iter()
            .flat_map(|name| {
                let section = elf.section(name.as_bytes()).expect("there");
                let start = section.as_ptr() as usize - whole.as_ptr() as usize;
                start..start + section.len()
            })
            .collect();
        let change = (any::<prop::sample::Index>(), any::<u8>());
        let changes = prop::collection::vec(change, 1..4);
        let mut runner = TestRunner::new(ProptestConfig::with_cases(2000));
        // What a panic has to say is of no interest.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let survived = runner.run(&changes, |changes| {
            let mut bytes = whole.clone();
            for (at, byte) in changes {
                bytes[places[at.index(places.len())]] = byte;
            }
            locate_in(&bytes, &[0, lookup, u64::MAX], &mut |_, _| {});
            Ok(())
        });
        std::panic::set_hook(hook);
        survived.expect("no panic");
    }

    /// The three functions of the fixture.
    const EXPECTED: [&str; 3] = ["inner a.c:3", "outer a.c:6", "take a.c:9"];

    #[test]
    fn debug_information_in_gnu_compressed_sections_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let lookup = built(folder, &["-g", "-gz=zlib-gnu"]);
        assert_eq!(described(folder, "whole", lookup), EXPECTED);
    }

    #[test]
    fn split_debug_information_is_read_from_its_files_and_from_a_package() {
        for version in ["-gdwarf-4", "-gdwarf-5"] {
            let folder = tempfile::tempdir().expect("a folder");
            let folder = folder.path();
            std::fs::write(folder.join("a.c"), SOURCE).expect("written");
            let object = ["-O2", "-g", version, "-gsplit-dwarf", "-c", "a.c"];
            run("gcc", &object, folder);
            run("gcc", &["a.o", "-o", "whole"], folder);
            let lookup = call(folder);
            assert_eq!(described(folder, "whole", lookup), EXPECTED, "{version}");
            // Other tools than binutils' write packages of version 5.
            if version == "-gdwarf-4" {
                run("dwp", &["-e", "whole", "-o", "whole.dwp"], folder);
                std::fs::remove_file(folder.join("a.dwo")).expect("removed");
                assert_eq!(described(folder, "whole", lookup), EXPECTED, "packed");
                std::fs::remove_file(folder.join("whole.dwp")).expect("removed");
            }
            // Of a file that would hold its reader up, nothing is read.
            let _ = std::fs::remove_file(folder.join("a.dwo"));
            run("mkfifo", &["a.dwo"], folder);
            assert_ne!(described(folder, "whole", lookup), EXPECTED, "{version}");
        }
    }

    #[test]
    fn debug_information_that_dwz_shared_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        // Two units have the same inlined functions.
        let (header, take) = SOURCE
            .split_once("__attribute__((noinline)) void *take")
            .expect("it");
        let other = "#include \"a.h\"\nvoid *other(int n) { return outer(n); }\n";
        std::fs::write(folder.join("a.h"), header).expect("written");
        std::fs::write(folder.join("b.c"), other).expect("written");
        let main = format!("#include \"a.h\"\n__attribute__((noinline)) void *take{take}");
        std::fs::write(folder.join("a.c"), main).expect("written");
        let expected = ["inner a.h:3", "outer a.h:6", "take a.c:3"];
        for version in ["-gdwarf-4", "-gdwarf-5"] {
            let arguments = ["-O2", "-g", version, "a.c", "b.c", "-o", "whole"];
            run("gcc", &arguments, folder);
            let lookup = call(folder);
            run("cp", &["whole", "one"], folder);
            run("dwz", &["one"], folder);
            assert_eq!(described(folder, "one", lookup), expected, "{version}");
            run("gcc", &[&arguments[..5], &["-o", "two"]].concat(), folder);
            run("dwz", &["-m", "shared.debug", "whole", "two"], folder);
            assert_eq!(described(folder, "whole", lookup), expected, "{version}");
        }
    }

    #[test]
    fn functions_that_only_debug_information_names_have_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let lookup = built(folder, &["-g"]);
        run("objcopy", &["--strip-symbol=take", "whole", "bare"], folder);
        let path = folder.join("bare");
        let module = ObjectId {
            path: path.as_os_str().as_encoded_bytes(),
            build_id: &[],
            file: None,
        };
        let nobody = Origin {
            pid: 1,
            uid: 0,
            start_ns: 0,
        };
        let plain = Symbolizer::new().function(&nobody, &module, lookup);
        assert!(plain.starts_with("bare+0x"), "{plain}");
        let named = Symbolizer::new()
            .with_debug_names()
            .function(&nobody, &module, lookup);
        assert_eq!(&*named, "take");
    }

    #[test]
    fn inlined_functions_without_a_symbol_are_named_with_their_namespaces() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let source = "#include <cstdlib>
void *volatile s;
namespace alpha { namespace { struct Box { static inline void fill(int n) { s = malloc(n); } }; } }
extern \"C\" __attribute__((noinline)) void take(int n) { alpha::Box::fill(n); s = nullptr; }
int main() { take(7); }
";
        std::fs::write(folder.join("a.cpp"), source).expect("written");
        run("g++", &["-O2", "-g", "a.cpp", "-o", "whole"], folder);
        let lookup = call(folder);
        let name = "alpha::(anonymous namespace)::Box::fill a.cpp:3";
        assert_eq!(described(folder, "whole", lookup), [name, "take a.cpp:4"]);
    }

    #[test]
    fn inlined_functions_are_told_wherever_the_debug_information_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let expected = ["inner a.c:3", "outer a.c:6", "take a.c:9"];
        for (version, packed) in [("-gdwarf-5", "-gz=none"), ("-gdwarf-4", "-gz=zlib")] {
            let lookup = built(folder, &[version, packed]);
            assert_eq!(described(folder, "whole", lookup), expected, "{version}");
            run(
                "objcopy",
                &["--only-keep-debug", "whole", "split.debug"],
                folder,
            );
            run("objcopy", &["--strip-all", "whole", "bare"], folder);
            assert_eq!(described(folder, "bare", lookup), [""; 0]);
            run(
                "objcopy",
                &["--add-gnu-debuglink=split.debug", "bare", "linked"],
                folder,
            );
            assert_eq!(described(folder, "linked", lookup), expected, "{version}");
        }
    }
}
