//! Sessions over loopback, through sockets of the system.

mod bulk;
mod channels;
mod current_thread;
mod ending;
mod events;
mod files;
mod group;
mod kinds;
mod messages;
mod sources;
mod wait;
