//! Every row of the unwind information of all mapped files, on AArch64: the rule derived for it must do
//! what the row says.
//!
//! Rows are evaluated on made-up registers and a made-up stack, and the rule is run on the same: the
//! registers that come out must be equal. `SKIPHEAP_TEST_LIBRARIES` names files, separated by colons, that
//! are loaded to be checked too.

use crate::arch::LINK_REGISTER;
use crate::testing;
use crate::unwind::modules::{EhFrame, Module};
use crate::unwind::registers::{FP, SP};
use crate::unwind::{self, Registry, Regs, Rule, Special, careful, cfi, compiled, registry};
use gimli::{
    BaseAddresses, CfaRule, CieOrFde, EhFrame as Section, EndianSlice, LittleEndian, Register,
    RegisterRule, UnwindContext, UnwindSection, UnwindTableRow, Vendor,
};
use std::collections::{BTreeMap, BTreeSet};

type Bytes = EndianSlice<'static, LittleEndian>;
type Row = UnwindTableRow<usize>;

/// A made-up stack: each word is the address of some other word in its upper half.
struct Stack(Vec<u64>);

impl Stack {
    const WORDS: usize = 1 << 18;

    fn new() -> Self {
        let mut words = vec![0_u64; Self::WORDS];
        let middle = (&raw const words[Self::WORDS / 2]) as u64;
        for (i, word) in words.iter_mut().enumerate() {
            *word = middle + (i * 40_503 % (Self::WORDS / 2)) as u64 * 8;
        }
        Self(words)
    }

    fn lo(&self) -> u64 {
        (self.0.as_ptr() as u64).next_multiple_of(16)
    }

    fn hi(&self) -> u64 {
        self.0.as_ptr() as u64 + (Self::WORDS * 8) as u64
    }

    fn read(&self, address: u64) -> Option<u64> {
        let at = address.checked_sub(self.0.as_ptr() as u64)?;
        let word = at.is_multiple_of(8).then(|| self.0.get(at as usize / 8));
        word.flatten().copied()
    }
}

/// The caller's registers by the row; `None` where it needs other registers, or there is no caller.
fn by_row(row: &Row, regs: Regs, stack: &Stack) -> Option<Regs> {
    let CfaRule::RegisterAndOffset { register, offset } = *row.cfa() else {
        return None;
    };
    let base = match register.0 {
        number if number == u16::from(SP) => regs.sp,
        number if number == u16::from(FP) => regs.bp,
        _ => return None,
    };
    let cfa = base.wrapping_add_signed(offset);
    let saved = |register: u8, same: Option<u64>| match row.register(Register(register.into())) {
        None | Some(RegisterRule::SameValue) => same,
        Some(RegisterRule::Offset(at)) if cfa.wrapping_add_signed(at) < regs.sp => same,
        Some(RegisterRule::Offset(at)) => stack.read(cfa.wrapping_add_signed(at)),
        _ => None,
    };
    Some(Regs {
        ra: saved(LINK_REGISTER?, None)?,
        sp: cfa,
        bp: saved(FP, Some(regs.bp))?,
    })
}

/// The caller's registers by a rule, on a stack that ends at `hi`.
fn by_rule(rule: Rule, regs: Regs, hi: u64) -> Option<Regs> {
    let careful = careful::step_for_tests(regs, false, rule, Some(hi)).ok();
    let careful = careful.map(|(regs, _)| regs);
    if rule.is_special() {
        return careful;
    }
    let mut caller = regs;
    // SAFETY: sp lies well inside of the made-up stack, which ends at hi.
    unsafe { unwind::step(&mut caller, rule, hi) }.ok()?;
    // The careful walk has a step of its own for plain rules.
    assert_eq!(words(careful), words(Some(caller)));
    Some(caller)
}

fn words(regs: Option<Regs>) -> Option<[u64; 3]> {
    regs.map(|r| [r.ra, r.sp, r.bp])
}

#[derive(Default)]
struct Tally {
    /// Rows in which the return address was saved, which alone call sites can have, and those that one
    /// word says.
    saved: u64,
    plain: u64,
    read: u64,
    read_as_compiled: u64,
    kinds: BTreeMap<String, u64>,
    wrong: Vec<String>,
}

impl Tally {
    fn check(&mut self, module: &Module, eh: &EhFrame, row: &Row, lookup: u64, stack: &Stack) {
        self.read += 1;
        if compiled::look_up(eh, lookup).is_some() {
            let any = cfi::look_up_any(eh, lookup);
            assert_eq!(cfi::look_up(eh, lookup), any, "{lookup:#x}");
            self.read_as_compiled += 1;
        }
        let rule = Registry::step(module, lookup + 1, lookup, false);
        let kind = rule.kind();
        let name = kind.map_or("plain".to_owned(), |kind| format!("{kind:?}"));
        *self.kinds.entry(name).or_default() += 1;
        let link = LINK_REGISTER.map(|register| row.register(Register(register.into())));
        if let Some(Some(RegisterRule::Offset(_))) = link {
            self.saved += 1;
            self.plain += u64::from(kind.is_none());
        }
        if matches!(kind, Some(Special::End)) {
            if link != Some(Some(RegisterRule::Undefined)) {
                self.wrong.push(format!("{lookup:#x}: {row:?} is no root"));
            }
            return;
        }
        for frame in [0x100_u64, 0x8000] {
            let sp = stack.lo() + 0x1_0000 + frame;
            let (ra, bp) = (lookup + 1, sp + frame * 2);
            let regs = Regs { ra, sp, bp };
            let ours = words(by_rule(rule, regs, stack.hi()));
            let theirs = words(by_row(row, regs, stack));
            if ours != theirs && kind != Some(Special::Signal) {
                self.wrong.push(format!(
                    "{lookup:#x}: {row:?}: {rule:?}: {ours:x?}, not {theirs:x?}"
                ));
            }
        }
    }

    fn check_module(&mut self, module: &Module, eh: &EhFrame, stack: &Stack) {
        let mut section: Section<Bytes> = Section::new(eh.frame, LittleEndian);
        section.set_vendor(Vendor::AArch64);
        let bases = BaseAddresses::default()
            .set_eh_frame_hdr(eh.hdr_address)
            .set_eh_frame(eh.frame_address);
        let mut context = UnwindContext::new();
        let mut entries = section.entries(&bases);
        // What follows the section in memory, behind its end mark, is read as an error or an end.
        while let Ok(Some(entry)) = entries.next() {
            let CieOrFde::Fde(partial) = entry else {
                continue;
            };
            let Ok(fde) = partial.parse(Section::cie_from_offset) else {
                continue;
            };
            let mut table = fde.rows(&section, &bases, &mut context).unwrap();
            while let Some(row) = table.next_row().unwrap() {
                let (start, end) = (row.start_address(), row.end_address());
                for lookup in [start, end.saturating_sub(1)] {
                    if start < end {
                        self.check(module, eh, row, lookup, stack);
                    }
                }
            }
        }
    }
}

/// The code mapped into this process: an address of each file.
fn mapped_code() -> Vec<u64> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mode = |line: &str| {
        line.split(' ')
            .nth(1)
            .is_some_and(|mode| mode.contains('x'))
    };
    let executable = maps.lines().filter(|line| mode(line));
    executable
        .filter_map(|line| u64::from_str_radix(line.split('-').next()?, 16).ok())
        .collect()
}

#[test]
fn every_rule_of_every_mapped_file_does_what_its_row_says() {
    let _turn = testing::rules_in_turn();
    let process = testing::process();
    let registry = registry(process).unwrap();
    let more = std::env::var("SKIPHEAP_TEST_LIBRARIES").unwrap_or_default();
    for library in more.split(':').filter(|name| !name.is_empty()) {
        let name = std::ffi::CString::new(library).unwrap();
        // SAFETY: the name is a C string; the library is one of the system, and stays loaded.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_LAZY) };
        assert!(!handle.is_null(), "{library}");
    }
    let stack = Stack::new();
    let mut seen = BTreeSet::new();
    for address in mapped_code() {
        let Some(module) = registry.modules.at(process, address) else {
            continue;
        };
        let Some(eh) = module
            .eh_frame
            .as_ref()
            .filter(|_| seen.insert(module.found.start))
        else {
            continue;
        };
        let mut tally = Tally::default();
        tally.check_module(&module, eh, &stack);
        println!(
            "{:#x}: {} rows, {} of {} with a saved return address in one word, {} read as compiled, {:?}",
            module.found.start,
            tally.read,
            tally.plain,
            tally.saved,
            tally.read_as_compiled,
            tally.kinds,
        );
        let first: Vec<_> = tally.wrong.iter().take(5).collect();
        assert!(tally.wrong.is_empty(), "{}: {first:#?}", tally.wrong.len());
        assert!(tally.plain * 100 >= tally.saved * 97);
        assert!(tally.read_as_compiled * 100 >= tally.read * 95);
    }
    // This program, the loader and the C library at least.
    assert!(seen.len() >= 3);
}
