//! Consumer groups: who reads a stream together, how far they have come, and what was given to whom.
//!
//! A group is of one of three kinds. With one member it is an offset and a generation (`alone`); with several that name
//! themselves, leases of ranges (`shared`); and with `ordered_by`, 64 slots with an offset each (`ordered`, `slots`). Everything is in the
//! database, so that members may be at any node; an acknowledgement is fenced by a number that is never given twice. Rules that a
//! consumer's own transaction must keep as well are functions of the database (`sql/migrations/common/0029_groups.sql`).

mod alone;
mod clock;
mod error;
mod group;
mod lease;
mod listed;
mod manage;
mod ordered;
mod parked;
mod reset;
mod shared;
mod slots;
mod status;
mod take;
mod turns;
mod upkeep;
mod waiting;

pub use error::GroupError;
pub use group::{AllGroups, Group, GroupName, Groups, Settings};
pub use lease::{Handing, Lease, Return};
pub use listed::{GroupsQuery, ParkedQuery};
pub use manage::Change;
pub use parked::{PARKED_CODES, Parked, Parking, Picked, Which};
pub use reset::{Reset, To};
pub use status::{Status, of_all};
pub use take::{Ask, Delivery};
pub use upkeep::{GroupCounts, Upkeep};
