//! How the codes are defined that recordings and profiles hold in place of words.

/// Defines an enum of codes. A number, once given, keeps its meaning: files of other versions hold it.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$of_code:meta])* $code:ident = $number:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[repr(u32)]
        pub enum $name {
            $($(#[$of_code])* $code = $number,)*
        }

        impl $name {
            /// Every one, in the order of reports.
            pub const ALL: &[Self] = &[$(Self::$code),*];

            /// The number that stands for it in files.
            pub const fn code(self) -> u32 {
                self as u32
            }

            /// The one that a number stands for; `None` for a number that a later version has given.
            pub fn of_code(code: u32) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.code() == code)
            }
        }
    };
}

pub(crate) use codes;
