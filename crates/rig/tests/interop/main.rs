//! Programs of others on the other end: ZeroMQ's sockets, and OpenPGM itself.
//!
//! Each test makes a network, puts a publisher on its first node and subscribers on others, loses packets both ways, and wants
//! every message of the plan at every subscriber. What passed over the bridge is judged by tshark.

mod judge;
mod openpgm;
mod peers;
mod zmq;
