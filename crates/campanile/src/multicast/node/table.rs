//! The nodes of this process that have sources, by the addresses that their sockets are bound to.
//!
//! Sources that share an address and port share a socket, and so a node: the address cannot be bound a second time, and what arrives is
//! demultiplexed by session. Only starting and ending a source use this table.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Node, NodeThread, StartError};

/// A node, and the addresses of its sockets.
struct Entry {
    addresses: Vec<SocketAddr>,
    thread: Arc<NodeThread>,
}

/// Handles on threads in the table are made and dropped only while it is locked, so that the last one can be recognised.
static TABLE: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

/// Gives a node to a source that needs sockets at these addresses. `start` gets the node that has one of them, if any,
/// with all its addresses.
pub(super) fn join(
    addresses: Vec<SocketAddr>,
    start: impl FnOnce(Option<(&Arc<NodeThread>, &[SocketAddr])>) -> Result<Node, StartError>,
) -> Result<Node, StartError> {
    let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    let found = table.iter().position(|entry| entry.addresses.iter().any(|one| addresses.contains(one)));
    let Some(at) = found else {
        let node = start(None)?;
        if let (false, Some(thread)) = (addresses.is_empty(), &node.thread) {
            table.push(Entry { addresses, thread: Arc::clone(thread) });
        }
        return Ok(node);
    };
    let entry = &mut table[at];
    let node = start(Some((&entry.thread, &entry.addresses)))?;
    let new = addresses.into_iter().filter(|address| !entry.addresses.contains(address)).collect::<Vec<_>>();
    entry.addresses.extend(new);
    Ok(node)
}

/// Drops a handle on a thread. The thread ends with its last driver, and its sockets are closed before the table is unlocked.
pub(super) fn leave(thread: Arc<NodeThread>) {
    let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(at) = table.iter().position(|entry| Arc::ptr_eq(&entry.thread, &thread)) else {
        // A thread that is not in the table is not shared.
        drop(table);
        return;
    };
    drop(thread);
    if Arc::strong_count(&table[at].thread) == 1 {
        table.swap_remove(at);
    }
}
