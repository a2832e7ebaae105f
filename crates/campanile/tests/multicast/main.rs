//! Sessions over loopback, through sockets of the system.

mod bulk;
mod channels;
mod ending;
mod events;
mod group;
mod messages;
mod sources;
mod wait;
