use crate::model::time::Millis;
pub const EVERY_DEFAULT: Millis = Millis::from_secs(10);
pub const GROUP_LIMIT_DEFAULT: u32 = 100_000;
pub const EXPIRE_DEFAULT: Millis = Millis::from_secs(3600);
