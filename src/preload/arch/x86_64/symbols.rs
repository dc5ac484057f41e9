//! Addresses that the linker and the loader know.
//!
//! May run at any moment.

use crate::elf::Dyn;
use core::arch::asm;

/// The address of a symbol that not every C library defines, or 0 if none does.
macro_rules! weak {
    ($name:literal) => {{
        let address: usize;
        // SAFETY: reads a word of this library's own global offset table.
        unsafe {
            core::arch::asm!(
                concat!(".weak ", $name),
                concat!("mov {}, qword ptr [rip + ", $name, "@GOTPCREL]"),
                out(reg) address,
                options(nostack, preserves_flags, readonly),
            );
        }
        address
    }};
}
pub(crate) use weak;

/// Where this library's dynamic section lies.
pub(crate) fn own_dynamic() -> *const Dyn {
    let own: *const Dyn;
    // SAFETY: takes the address of our own dynamic section, which the linker defines.
    unsafe {
        asm!(
            ".hidden _DYNAMIC",
            "lea {}, [rip + _DYNAMIC]",
            out(reg) own,
            options(nomem, nostack, preserves_flags)
        );
    }
    own
}
