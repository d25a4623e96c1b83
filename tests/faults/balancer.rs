//! A load balancer as docs/OPERATIONS.md asks for one: requests go to each node in turn, of those whose `/readyz`
//! said 200 when it was last asked.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::client::Client;

pub struct Balancer {
    nodes: Mutex<Vec<Node>>,
    next: AtomicUsize,
}

struct Node {
    client: Client,
    is_ready: bool,
}

impl Balancer {
    pub fn of(clients: &[Client]) -> Self {
        let node = |client: &Client| Node { client: client.clone(), is_ready: true };
        Self { nodes: Mutex::new(clients.iter().map(node).collect()), next: AtomicUsize::new(0) }
    }

    /// Whose turn it is; where none is ready, any.
    pub fn next(&self) -> Client {
        let nodes = self.nodes.lock().unwrap();
        let turn = self.next.fetch_add(1, Relaxed);
        let ready: Vec<&Node> = nodes.iter().filter(|node| node.is_ready).collect();
        let chosen = if ready.is_empty() { &nodes[turn % nodes.len()] } else { ready[turn % ready.len()] };
        chosen.client.clone()
    }

    /// A node is somewhere else now.
    pub fn place(&self, node: usize, client: &Client) {
        self.nodes.lock().unwrap()[node] = Node { client: client.clone(), is_ready: true };
    }

    /// Asks each node whether it is ready.
    pub fn look(&self) {
        let clients: Vec<Client> = self.nodes.lock().unwrap().iter().map(|node| node.client.clone()).collect();
        for client in clients {
            let is_ready = client.send("GET", "/readyz", &[], &[]).is_ok_and(|answer| answer.status == 200);
            // One that was placed elsewhere meanwhile was not asked.
            let mut nodes = self.nodes.lock().unwrap();
            for node in nodes.iter_mut().filter(|node| node.client.address == client.address) {
                node.is_ready = is_ready;
            }
        }
    }
}
