//! How many bytes a runtime's `SKIP_Obstack_shallowClone(size, object)` allocates, read from its code.
//!
//! Runtimes differ, and no symbol tells them apart:
//!
//! ```text
//! 2020            allocates size
//! 2020 to 2022    allocates size + 8
//! since 2022      ignores size and asks the object's type:
//!                     type = *(*(object - 8) + 8)
//!                     user bytes (u64 at type + 8) + the words in front of the object
//! ```
//!
//! The words in front are two of an array and one of anything else: the byte at `type + 1` is 1 for an
//! array, and until 2024 the u16 at `type + 4` gave their length.
//!
//! So the function's code is followed along all of its branches, with what the registers and the
//! stack hold as far as it derives from the two arguments. What it hands to the allocator, or to a
//! function that copies from the object, is the size. Anything that is not understood, or on which two
//! branches disagree, is "not known".
//!
//! Reads machine code and nothing else. Runs in cold sections.

use super::leads::{Lead, code_at, lead_of};
use super::plan;
use crate::elf::LinkMap;
use iced_x86::{
    FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
};
use std::collections::HashMap;

/// What a clone's size is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CloneSize {
    /// The first argument and so many bytes.
    Argument(u32),
    /// What the object's type says.
    OfType(Words),
}

/// Where a type says how many words stand in front of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Words {
    /// By its kind, the byte at offset 1: 1 for an array, which has two, and one for any other.
    Kind,
    /// By their length in bytes, 8 or 16, at offset 4.
    Length,
}

/// What a register or a word of the stack holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Value {
    Unknown,
    Constant(i64),
    /// An address or number so much above a known one.
    Above(Base, i64),
    /// An address near the object, at a distance that is not known.
    NearObject,
    /// The type's user bytes.
    UserBytes,
    /// A sum with the user bytes in it.
    WithUserBytes,
    /// What the type says of the words in front.
    Words,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Base {
    /// rsp at the entry.
    Stack,
    /// The first argument.
    Size,
    /// The second argument.
    Object,
    /// The table of functions to which the word in front of the object points.
    Table,
    Type,
}

use Value::{Above, Constant, NearObject, Unknown, UserBytes, WithUserBytes};

/// Most instructions that are followed, over all branches.
const MOST_STEPS: usize = 4000;
/// How often an instruction is followed: branches meet again with other values.
const MOST_VISITS: u8 = 4;
/// Most instructions of a function that is followed into.
const MOST_OF_CALLEE: usize = 32;

/// Registers and stack on one branch.
#[derive(Clone)]
struct State {
    /// By number: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 and so on.
    registers: [Value; 16],
    /// Words of the stack, by their distance from rsp at the entry.
    stack: HashMap<i64, Value>,
    reads: Reads,
}

/// The numbers of registers in [`State::registers`].
const RAX: usize = 0;
const RCX: usize = 1;
const RDX: usize = 2;
const RSP: usize = 4;
const RBP: usize = 5;
const RSI: usize = 6;
const RDI: usize = 7;
/// Registers that a call may change: rax, rcx, rdx, rsi, rdi, r8 to r11.
const CHANGED_BY_CALLS: [usize; 9] = [RAX, RCX, RDX, RSI, RDI, 8, 9, 10, 11];

/// What was read of the object's type.
#[derive(Clone, Copy, Default)]
struct Reads {
    user_bytes: bool,
    kind: bool,
    length: bool,
}

struct Tracer<'a> {
    object: &'a LinkMap,
    /// Returns whether an address leads to a function of the runtime that allocates as many bytes as its
    /// first argument says.
    is_allocator: &'a dyn Fn(Lead) -> bool,
    start: u64,
    code: &'static [u8],
    /// What all branches read that have been followed to their end.
    reads: Option<Reads>,
    /// What was seen to be the size.
    found: Option<CloneSize>,
    is_contradictory: bool,
    info: InstructionInfoFactory,
}

/// Returns the size that the function at `start` allocates, if that is certain.
pub(super) fn clone_size(
    object: &LinkMap,
    start: u64,
    size: u64,
    is_allocator: &dyn Fn(Lead) -> bool,
) -> Option<CloneSize> {
    let mut tracer = Tracer {
        object,
        is_allocator,
        start,
        code: code_at(start, size)?,
        reads: None,
        found: None,
        is_contradictory: false,
        info: InstructionInfoFactory::new(),
    };
    tracer.follow_all()?;
    let reads = tracer.reads.unwrap_or_default();
    match tracer.found.filter(|_| !tracer.is_contradictory)? {
        CloneSize::OfType(_) if !reads.user_bytes => None,
        CloneSize::OfType(_) if reads.kind => Some(CloneSize::OfType(Words::Kind)),
        CloneSize::OfType(_) if reads.length => Some(CloneSize::OfType(Words::Length)),
        CloneSize::OfType(_) => None,
        argument => Some(argument),
    }
}

impl State {
    fn at_entry() -> Self {
        let mut registers = [Unknown; 16];
        registers[RSP] = Above(Base::Stack, 0);
        registers[RDI] = Above(Base::Size, 0);
        registers[RSI] = Above(Base::Object, 0);
        Self {
            registers,
            stack: HashMap::new(),
            reads: Reads::default(),
        }
    }

    fn get(&self, number: usize) -> Value {
        self.registers.get(number).copied().unwrap_or(Unknown)
    }

    fn set(&mut self, number: usize, value: Value) {
        if let Some(register) = self.registers.get_mut(number) {
            *register = value;
        }
    }

    fn register(&self, register: Register) -> Value {
        number_of(register).map_or(Unknown, |number| self.get(number))
    }

    /// The address of the operand in memory.
    fn address(&self, instruction: &Instruction) -> Value {
        let base = match instruction.memory_base() {
            Register::None => Constant(0),
            register => self.register(register),
        };
        let index = match (instruction.memory_index(), instruction.memory_index_scale()) {
            (Register::None, _) => Constant(0),
            (register, 1) => self.register(register),
            _ => Unknown,
        };
        let displacement = instruction.memory_displacement64() as i64;
        sum(sum(base, index), Constant(displacement))
    }

    fn push(&mut self, value: Value) {
        let top = sum(self.get(RSP), Constant(-8));
        self.set(RSP, top);
        self.store(top, value);
    }

    fn pop(&mut self) -> Value {
        let top = self.get(RSP);
        self.set(RSP, sum(top, Constant(8)));
        self.load(top)
    }

    fn store(&mut self, address: Value, value: Value) {
        if let Above(Base::Stack, at) = address {
            // A word that only overlaps is gone.
            for near in at - 7..at + 8 {
                self.stack.remove(&near);
            }
            self.stack.insert(at, value);
        }
    }

    fn load(&self, address: Value) -> Value {
        match address {
            Above(Base::Stack, at) => self.stack.get(&at).copied().unwrap_or(Unknown),
            _ => Unknown,
        }
    }

    /// Forgets what a call may change.
    fn after_call(&mut self, result: Value) {
        for number in CHANGED_BY_CALLS {
            self.set(number, Unknown);
        }
        self.set(RAX, result);
    }
}

fn number_of(register: Register) -> Option<usize> {
    register.is_gpr().then(|| register.full_register().number())
}

fn sum(a: Value, b: Value) -> Value {
    match (a, b) {
        (Constant(a), Constant(b)) => Constant(a.wrapping_add(b)),
        (Above(base, a), Constant(b)) | (Constant(b), Above(base, a)) => {
            Above(base, a.wrapping_add(b))
        }
        (UserBytes, Constant(0)) | (Constant(0), UserBytes) => UserBytes,
        (UserBytes | WithUserBytes, _) | (_, UserBytes | WithUserBytes) => WithUserBytes,
        (Above(Base::Object, _) | NearObject, _) | (_, Above(Base::Object, _) | NearObject) => {
            NearObject
        }
        _ => Unknown,
    }
}

fn difference(a: Value, b: Value) -> Value {
    match (a, b) {
        (a, Constant(b)) => sum(a, Constant(b.wrapping_neg())),
        (Above(Base::Object, _) | NearObject, _) => NearObject,
        _ => Unknown,
    }
}

impl Tracer<'_> {
    /// Follows every branch; `None` when there are too many.
    fn follow_all(&mut self) -> Option<()> {
        let mut visits: HashMap<u64, u8> = HashMap::new();
        let mut pending = vec![(self.start, State::at_entry())];
        let mut steps = 0;
        while let Some((at, mut state)) = pending.pop() {
            let offset = usize::try_from(at.checked_sub(self.start)?).ok()?;
            let code = self.code.get(offset..)?;
            let mut goes_on = None;
            for instruction in plan::first_instructions(code, at) {
                let seen = visits.entry(instruction.ip()).or_default();
                steps += 1;
                if *seen == MOST_VISITS {
                    break;
                }
                if steps == MOST_STEPS {
                    return None;
                }
                *seen += 1;
                let next = instruction.near_branch_target();
                let is_inside = self.covers(next);
                match instruction.flow_control() {
                    FlowControl::Next => self.step(&mut state, &instruction),
                    FlowControl::Call | FlowControl::IndirectCall => {
                        self.call(&mut state, &instruction);
                    }
                    FlowControl::ConditionalBranch if is_inside => {
                        pending.push((next, state.clone()));
                    }
                    FlowControl::ConditionalBranch => self.end(&state),
                    FlowControl::UnconditionalBranch if is_inside => {
                        goes_on = Some(next);
                        break;
                    }
                    FlowControl::UnconditionalBranch | FlowControl::IndirectBranch => {
                        self.judge(&state, lead_of(self.object, &instruction));
                        break;
                    }
                    _ => break,
                }
            }
            match goes_on {
                Some(next) => pending.push((next, state)),
                None => self.end(&state),
            }
        }
        Some(())
    }

    /// A branch ends, or is not followed farther.
    fn end(&mut self, state: &State) {
        let all = self.reads.unwrap_or(state.reads);
        self.reads = Some(Reads {
            user_bytes: all.user_bytes && state.reads.user_bytes,
            kind: all.kind && state.reads.kind,
            length: all.length && state.reads.length,
        });
    }

    fn covers(&self, address: u64) -> bool {
        address
            .checked_sub(self.start)
            .is_some_and(|offset| offset < self.code.len() as u64)
    }

    /// A call: what it is given may be the size.
    fn call(&mut self, state: &mut State, instruction: &Instruction) {
        let lead = lead_of(self.object, instruction);
        self.judge(state, lead);
        let callee = lead.and_then(|lead| lead.address(self.object));
        let returned = callee.and_then(|at| self.after(at, state));
        if let Some(returned) = &returned {
            state.reads = returned.reads;
        }
        state.after_call(returned.map_or(Unknown, |returned| returned.get(RAX)));
    }

    /// The state in which a short function without branches returns.
    fn after(&mut self, at: u64, caller: &State) -> Option<State> {
        let mut state = caller.clone();
        state.push(Unknown);
        // As much of it as lies in one piece of code: the longest that can be read at once.
        let code = (4..=8).rev().find_map(|shift| code_at(at, 1 << shift))?;
        for instruction in plan::first_instructions(code, at).take(MOST_OF_CALLEE) {
            match instruction.flow_control() {
                FlowControl::Next => self.step(&mut state, &instruction),
                FlowControl::Return => return Some(state),
                _ => break,
            }
        }
        None
    }

    /// Looks at the arguments of a call, or of a jump to another function.
    fn judge(&mut self, state: &State, lead: Option<Lead>) {
        if lead.is_some_and(|lead| (self.is_allocator)(lead)) {
            self.find(state.get(RDI), true);
        }
        if matches!(state.get(RSI), Above(Base::Object, _) | NearObject) {
            self.find(state.get(RDX), false);
        }
    }

    /// `value` is what is allocated, or copied from the object.
    fn find(&mut self, value: Value, is_all: bool) {
        let size = match value {
            Above(Base::Size, more) => u32::try_from(more).ok().map(CloneSize::Argument),
            UserBytes | WithUserBytes => Some(CloneSize::OfType(Words::Kind)),
            // The third argument of a function that may have two.
            _ if !is_all => return,
            _ => None,
        };
        match (size, self.found) {
            (None, _) => self.is_contradictory = true,
            (Some(size), Some(found)) if size != found => self.is_contradictory = true,
            (Some(size), _) => self.found = Some(size),
        }
    }

    /// An instruction that is no jump and no call.
    fn step(&mut self, state: &mut State, instruction: &Instruction) {
        let source = Self::source(state, instruction);
        let target = number_of(instruction.op0_register())
            .filter(|_| instruction.op0_kind() == OpKind::Register);
        let old = target.map_or(Unknown, |number| state.get(number));
        let new = match instruction.mnemonic() {
            Mnemonic::Push => {
                let value = match instruction.op0_kind() {
                    OpKind::Register => old,
                    _ => Unknown,
                };
                state.push(value);
                return;
            }
            Mnemonic::Pop => state.pop(),
            Mnemonic::Leave => {
                state.set(RSP, state.get(RBP));
                let value = state.pop();
                state.set(RBP, value);
                return;
            }
            Mnemonic::Mov | Mnemonic::Movzx | Mnemonic::Movsx | Mnemonic::Movsxd => source,
            Mnemonic::Lea => state.address(instruction),
            Mnemonic::Add => sum(old, source),
            Mnemonic::Sub => difference(old, source),
            Mnemonic::Xor
                if instruction.op0_register() == instruction.op1_register()
                    && instruction.op1_kind() == OpKind::Register =>
            {
                Constant(0)
            }
            Mnemonic::Movsb | Mnemonic::Movsq if instruction.has_rep_prefix() => {
                if instruction.mnemonic() == Mnemonic::Movsb {
                    self.judge_copy(state);
                }
                Unknown
            }
            _ => Unknown,
        };
        if instruction.op0_kind() == OpKind::Memory && instruction.memory_size().size() == 8 {
            let address = state.address(instruction);
            let before = state.load(address);
            let stored = match instruction.mnemonic() {
                Mnemonic::Mov => Some(source),
                Mnemonic::Add => Some(sum(before, source)),
                Mnemonic::Sub => Some(difference(before, source)),
                _ => None,
            };
            if let Some(stored) = stored {
                state.store(address, stored);
                return;
            }
        }
        self.forget_written(state, instruction);
        if let Some(number) = target
            && is_write(self.info.info(instruction).op0_access())
        {
            let fits =
                instruction.op0_register().size() == 8 || matches!(new, Value::Words | Constant(_));
            state.set(number, if fits { new } else { Unknown });
        }
    }

    /// A copy of rcx bytes from rsi.
    fn judge_copy(&mut self, state: &State) {
        if matches!(state.get(RSI), Above(Base::Object, _) | NearObject) {
            self.find(state.get(RCX), false);
        }
    }

    /// Forgets the registers and the word of the stack that an instruction writes.
    fn forget_written(&mut self, state: &mut State, instruction: &Instruction) {
        let address = state.address(instruction);
        let info = self.info.info(instruction);
        let writes_memory = info
            .used_memory()
            .iter()
            .any(|used| is_write(used.access()));
        for used in info.used_registers() {
            if is_write(used.access())
                && let Some(number) = number_of(used.register())
                && number != RSP
            {
                state.set(number, Unknown);
            }
        }
        if writes_memory && has_memory(instruction) {
            state.store(address, Unknown);
        }
    }

    /// The value of the second operand, and what is read from memory on the way.
    fn source(state: &mut State, instruction: &Instruction) -> Value {
        let is_address = matches!(instruction.mnemonic(), Mnemonic::Lea | Mnemonic::Nop);
        let read = if has_memory(instruction) && !is_address {
            let size = instruction.memory_size().size();
            let address = state.address(instruction);
            Self::read(state, address, size)
        } else {
            Unknown
        };
        match instruction.op1_kind() {
            OpKind::Register => {
                let register = instruction.op1_register();
                match state.register(register) {
                    value if register.size() == 8 => value,
                    value @ (Value::Words | Constant(_)) => value,
                    _ => Unknown,
                }
            }
            OpKind::Memory => read,
            kind if is_immediate(kind) => Constant(instruction.immediate(1) as i64),
            _ => Unknown,
        }
    }

    fn read(state: &mut State, address: Value, size: usize) -> Value {
        match (address, size) {
            (Above(Base::Object, -8), 8) => Above(Base::Table, 0),
            (Above(Base::Table, 8), 8) => Above(Base::Type, 0),
            (Above(Base::Type, 8), 8) => {
                state.reads.user_bytes = true;
                UserBytes
            }
            (Above(Base::Type, 1), 1) => {
                state.reads.kind = true;
                Value::Words
            }
            (Above(Base::Type, 4), 2) => {
                state.reads.length = true;
                Value::Words
            }
            (Above(Base::Stack, _), 8) => state.load(address),
            _ => Unknown,
        }
    }
}

fn has_memory(instruction: &Instruction) -> bool {
    (0..instruction.op_count()).any(|i| instruction.op_kind(i) == OpKind::Memory)
}

fn is_immediate(kind: OpKind) -> bool {
    matches!(
        kind,
        OpKind::Immediate8
            | OpKind::Immediate16
            | OpKind::Immediate32
            | OpKind::Immediate64
            | OpKind::Immediate8to16
            | OpKind::Immediate8to32
            | OpKind::Immediate8to64
            | OpKind::Immediate32to64
    )
}

fn is_write(access: OpAccess) -> bool {
    matches!(
        access,
        OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
    )
}
