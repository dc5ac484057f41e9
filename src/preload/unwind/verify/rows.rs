//! Every row of the unwind information of all mapped files: the rule derived for it must do what
//! the row says.
//!
//! Rows are evaluated on made-up registers and a made-up stack, and the rule is run on the same: the
//! registers that come out must be equal. A rule that gives up must do so for a row that it cannot
//! express.

use crate::testing;
use crate::unwind::modules::{self, EhFrame, Module};
use crate::unwind::rule::{Rule, Special};
use crate::unwind::walk::Regs;
use crate::unwind::{self, Registry, careful, cfi, compiled, registry};
use gimli::{
    BaseAddresses, CfaRule, CieOrFde, EhFrame as Section, EndianSlice, EvaluationResult,
    FrameDescriptionEntry, LittleEndian, Location, RegisterRule, UnwindContext, UnwindExpression,
    UnwindSection, UnwindTableRow, Value, X86_64,
};
use std::collections::BTreeMap;

type Bytes = EndianSlice<'static, LittleEndian>;
type Fde = FrameDescriptionEntry<Bytes>;
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
        self.0.as_ptr() as u64
    }

    fn hi(&self) -> u64 {
        self.lo() + (Self::WORDS * 8) as u64
    }

    fn read(&self, address: u64) -> Option<u64> {
        let at = address.checked_sub(self.lo())?;
        (at % 8 == 0)
            .then(|| self.0.get(at as usize / 8).copied())
            .flatten()
    }
}

/// Unwind information as gimli reads it.
struct Information {
    section: Section<Bytes>,
    bases: BaseAddresses,
}

impl Information {
    fn of(eh: &EhFrame) -> Self {
        Self {
            section: Section::new(eh.frame, LittleEndian),
            bases: BaseAddresses::default()
                .set_eh_frame_hdr(eh.hdr_address)
                .set_eh_frame(eh.frame_address),
        }
    }

    fn entries(&self) -> Vec<Fde> {
        let mut entries = self.section.entries(&self.bases);
        let mut fdes = Vec::new();
        // What follows the section in memory, behind its end mark, is read as an error or an end.
        while let Ok(Some(entry)) = entries.next() {
            if let CieOrFde::Fde(partial) = entry
                && let Ok(fde) = partial.parse(Section::cie_from_offset)
            {
                fdes.push(fde);
            }
        }
        fdes
    }

    fn value(
        &self,
        expression: UnwindExpression<usize>,
        fde: &Fde,
        regs: Regs,
        cfa: Option<u64>,
        stack: &Stack,
    ) -> Option<u64> {
        let expression = expression.get(&self.section).ok()?;
        let mut evaluation = expression.evaluation(fde.cie().encoding());
        if let Some(cfa) = cfa {
            evaluation.set_initial_value(cfa);
        }
        let mut state = evaluation.evaluate().ok()?;
        loop {
            state = match state {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresMemory { address, .. } => {
                    let word = stack.read(address)?;
                    evaluation.resume_with_memory(Value::Generic(word)).ok()?
                }
                EvaluationResult::RequiresRegister { register, .. } => {
                    let value = match register {
                        X86_64::RSP => regs.sp,
                        X86_64::RBP => regs.bp,
                        X86_64::RA => regs.ra,
                        _ => return None,
                    };
                    evaluation
                        .resume_with_register(Value::Generic(value))
                        .ok()?
                }
                _ => return None,
            };
        }
        match evaluation.as_result().last()?.location {
            Location::Address { address } => Some(address),
            _ => None,
        }
    }

    /// The caller's registers by the row; `None` where it needs other registers, or says that there
    /// is no caller.
    fn caller(&self, row: &Row, fde: &Fde, regs: Regs, stack: &Stack) -> Option<Regs> {
        let cfa = match *row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => match register {
                X86_64::RSP => regs.sp.wrapping_add_signed(offset),
                X86_64::RBP => regs.bp.wrapping_add_signed(offset),
                _ => return None,
            },
            CfaRule::Expression(expression) => self.value(expression, fde, regs, None, stack)?,
        };
        let saved = |rule, same: Option<u64>| match rule {
            None | Some(RegisterRule::SameValue) => same,
            // Behind the pops of an epilogue, of which GCC does not tell: they left rbp as it was
            // in the caller, and the slot to whoever comes next.
            Some(RegisterRule::Offset(offset)) if cfa.wrapping_add_signed(offset) < regs.sp => same,
            Some(RegisterRule::Offset(offset)) => stack.read(cfa.wrapping_add_signed(offset)),
            Some(RegisterRule::ValOffset(offset)) => Some(cfa.wrapping_add_signed(offset)),
            Some(RegisterRule::Expression(expression)) => {
                stack.read(self.value(expression, fde, regs, Some(cfa), stack)?)
            }
            Some(RegisterRule::ValExpression(expression)) => {
                self.value(expression, fde, regs, Some(cfa), stack)
            }
            _ => None,
        };
        Some(Regs {
            ra: saved(row.register(X86_64::RA), None)?,
            sp: cfa,
            bp: saved(row.register(X86_64::RBP), Some(regs.bp))?,
        })
    }

    /// What kind of row this is, and the kind of the rule that has to come of it: `Some(None)` is a
    /// plain one; `None` where either is right.
    fn expected(&self, row: &Row, fde: &Fde) -> (&'static str, Option<Option<Special>>) {
        if fde.is_signal_trampoline() {
            return ("signal frame", Some(Some(Special::Signal)));
        }
        let row_step = Some(Some(Special::Row));
        match row.register(X86_64::RA) {
            None | Some(RegisterRule::Undefined) => {
                return ("no return address", Some(Some(Special::End)));
            }
            Some(RegisterRule::Offset(-8)) => {}
            // In vfork, where no call returns to.
            Some(RegisterRule::Register(_)) => return ("return address in a register", row_step),
            _ => return ("return address elsewhere", row_step),
        }
        let bp = row.register(X86_64::RBP);
        match *row.cfa() {
            CfaRule::RegisterAndOffset {
                register: X86_64::RSP,
                offset,
            } => {
                let (what, below) = match bp {
                    None | Some(RegisterRule::Undefined | RegisterRule::SameValue) => {
                        ("from rsp", None)
                    }
                    Some(RegisterRule::Offset(at)) if -at > offset => {
                        ("from rsp, rbp restored", None)
                    }
                    Some(RegisterRule::Offset(at)) => {
                        ("from rsp, rbp saved", Some(at.unsigned_abs()))
                    }
                    _ => return ("from rsp, rbp by an expression", row_step),
                };
                let rule = Rule::from_sp(offset as u64, below);
                (what, if rule.is_some() { Some(None) } else { row_step })
            }
            CfaRule::RegisterAndOffset {
                register: X86_64::RBP,
                offset,
            } => match (offset, bp) {
                (16, Some(RegisterRule::Offset(-16))) => ("from rbp", Some(None)),
                (_, Some(RegisterRule::Offset(-16))) => (
                    "from rbp, another offset",
                    Some(
                        Rule::with_operand(Special::LateBp(offset))
                            .map_or(Some(Special::Row), |_| Some(Special::LateBp(offset))),
                    ),
                ),
                _ => ("from rbp, which is saved elsewhere", row_step),
            },
            CfaRule::RegisterAndOffset { .. } => ("from another register", row_step),
            CfaRule::Expression(_) => ("by an expression", None),
        }
    }
}

/// The caller's registers by a rule, on a stack that ends at `hi`.
fn by_rule(rule: Rule, regs: Regs, exact: bool, hi: u64) -> Option<Regs> {
    if rule.is_special() {
        return Some(careful::step_for_tests(regs, exact, rule, Some(hi)).ok()?.0);
    }
    let mut caller = regs;
    // SAFETY: sp lies well inside of the made-up stack, which ends at hi.
    unsafe { unwind::step(&mut caller, rule, hi) }.ok()?;
    // The careful walk has a step of its own for plain rules.
    let careful = careful::step_for_tests(regs, exact, rule, Some(hi)).ok()?.0;
    assert_eq!(
        [caller.ra, caller.sp, caller.bp],
        [careful.ra, careful.sp, careful.bp]
    );
    Some(caller)
}

#[derive(Default)]
struct Tally {
    addresses: u64,
    /// Look-ups, and how many of them [`compiled`] has answered.
    read: u64,
    read_as_compiled: u64,
    /// By kind of row and kind of rule.
    kinds: BTreeMap<(&'static str, String), u64>,
    wrong: Vec<String>,
}

impl Tally {
    fn check(
        &mut self,
        module: &Module,
        information: &Information,
        (row, fde): (&Row, &Fde),
        lookup: u64,
        stack: &Stack,
    ) {
        self.check_reader(module, lookup);
        let (what, expected) = information.expected(row, fde);
        for exact in [false, true] {
            let address = if exact { lookup } else { lookup + 1 };
            let rule = Registry::step(module, address, lookup, exact);
            let kind = rule.kind();
            self.addresses += 1;
            let name = kind.map_or("plain".to_owned(), |kind| match kind {
                Special::Deref(_) => "Deref".to_owned(),
                Special::LateBp(_) => "LateBp".to_owned(),
                other => format!("{other:?}"),
            });
            *self.kinds.entry((what, name)).or_default() += 1;
            let mut right = expected.is_none_or(|expected| expected == kind);
            let gives_up = matches!(kind, Some(Special::End | Special::Signal));
            right &= !matches!(kind, Some(Special::Guess | Special::Cut));
            for frame in [0x100_u64, 0x8000] {
                let sp = stack.lo() + 0x1_0000 + frame;
                let regs = Regs {
                    ra: address,
                    sp,
                    bp: sp + frame * 2,
                };
                let ours = by_rule(rule, regs, exact, stack.hi());
                let theirs = information.caller(row, fde, regs, stack);
                let words = |regs: Option<Regs>| regs.map(|r| [r.ra, r.sp, r.bp]);
                // Rows that need other registers lead nowhere here.
                let leads_nowhere =
                    kind == Some(Special::Row) && ours.is_none() && theirs.is_none();
                right &=
                    gives_up || leads_nowhere || (ours.is_some() && words(ours) == words(theirs));
            }
            if !right {
                let at = address - module.bias;
                self.wrong.push(format!(
                    "{at:#x} (exact: {exact}): {what}, {row:?}: {rule:?}"
                ));
            }
        }
    }

    /// Both readers of unwind information find the same.
    fn check_reader(&mut self, module: &Module, lookup: u64) {
        let Some(eh) = &module.eh_frame else { return };
        self.read += 1;
        if compiled::look_up(eh, lookup).is_some() {
            let any = cfi::look_up_any(eh, lookup);
            assert_eq!(cfi::look_up(eh, lookup), any, "{lookup:#x}");
            self.read_as_compiled += 1;
        }
    }

    fn check_module(&mut self, module: &Module, stack: &Stack) {
        let Some(eh) = &module.eh_frame else { return };
        let information = Information::of(eh);
        let mut context = UnwindContext::new();
        for fde in information.entries() {
            // In front of an entry there may be none.
            self.check_reader(module, fde.initial_address() - 1);
            let mut table = fde
                .rows(&information.section, &information.bases, &mut context)
                .unwrap();
            while let Ok(Some(row)) = table.next_row() {
                let (start, end) = (row.start_address(), row.end_address());
                if start < end {
                    self.check(module, &information, (row, &fde), start, stack);
                    if end - start > 1 {
                        let last = end - 1;
                        self.check(module, &information, (row, &fde), last, stack);
                    }
                }
            }
        }
    }
}

/// The code mapped into this process: an address of each file.
fn mapped_code() -> Vec<u64> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let executable = maps.lines().filter(|line| {
        line.split(' ')
            .nth(1)
            .is_some_and(|mode| mode.contains('x'))
    });
    executable
        .filter_map(|line| u64::from_str_radix(line.split('-').next()?, 16).ok())
        .collect()
}

#[test]
fn every_rule_of_every_mapped_file_does_what_its_row_says() {
    let _turn = testing::rules_in_turn();
    let process = testing::process();
    let registry = registry(process).unwrap();
    let stack = Stack::new();
    let mut seen = Vec::new();
    for lib in std::env::var("XLIBS")
        .unwrap_or_default()
        .split(':')
        .filter(|l| !l.is_empty())
    {
        let c = std::ffi::CString::new(lib).unwrap();
        // SAFETY: the name is a C string; the library is one of the system, and stays loaded.
        unsafe {
            println!(
                "{lib} {}",
                !libc::dlopen(c.as_ptr(), libc::RTLD_LAZY).is_null()
            );
        }
    }
    for address in mapped_code() {
        let Some(module) = registry.modules.at(process, address) else {
            continue;
        };
        if seen.contains(&module.found.start) {
            continue;
        }
        seen.push(module.found.start);
        let mut tally = Tally::default();
        tally.check_module(&module, &stack);
        println!("{:#x}: {} addresses", module.found.start, tally.addresses);
        for ((row, rule), count) in &tally.kinds {
            println!("  {row}: {rule}: {count}");
        }
        let first: Vec<_> = tally.wrong.iter().take(5).collect();
        assert!(tally.wrong.is_empty(), "{}: {first:#?}", tally.wrong.len());
        let plain: u64 = tally
            .kinds
            .iter()
            .filter(|((_, rule), _)| rule == "plain")
            .map(|(_, count)| count)
            .sum();
        assert!(plain * 100 >= tally.addresses * 98, "{:#?}", tally.kinds);
        let share = (tally.read_as_compiled, tally.read);
        println!("  read as compiled: {share:?}");
        assert!(share.0 * 100 >= share.1 * 95, "{share:?}");
    }
    // This program, the loader and the C library at least.
    assert!(seen.len() >= 3);
    assert!(modules::find(mapped_code as *const () as u64).is_some());
}
