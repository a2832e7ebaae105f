//! Sessions over loopback, through sockets of the system.

mod bulk;
mod channels;
mod ending;
mod events;
mod files;
mod group;
mod here;
mod kinds;
mod messages;
mod sources;
mod wait;
