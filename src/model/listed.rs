//! Enums whose variants are gone through.

/// Declares an enum together with `ALL`, its variants in their order: one that is added is in the list.
macro_rules! listed {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $($(#[$doc:meta])* $variant:ident $(= $value:literal)?,)+ }
    ) => {
        $(#[$meta])*
        pub enum $name { $($(#[$doc])* $variant $(= $value)?,)+ }

        impl $name {
            pub const ALL: [Self; [$(stringify!($variant)),+].len()] = [$(Self::$variant),+];
        }
    };
}
pub(crate) use listed;
