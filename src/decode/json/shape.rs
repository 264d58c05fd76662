//! What the stream's objects look like, learned as they pass.
//!
//! Producers write the same keys in the same order with the same spacing, millions of times. So keys are not parsed:
//! the text from the end of one value to the start of the next (`,"latency_ms":`) is compared, sixteen bytes at once,
//! with what followed last time. A hit says which field comes, without looking at the key again.
//!
//! The memory is a graph: a *node* is "just after the value of key K in context C" (or "at the opening brace of C"), an
//! *edge* is one literal seen to follow, and leads to the node of the key in it. A single remembered template would be
//! relearned on every event when two shapes alternate; a tree of whole prefixes would grow with every combination of
//! optional fields. In the graph optional fields and other orders only add an edge at the place where they differ.
//!
//! - `S1` an edge holds only text that the general scan read in that context; so what was learned changes how fast an
//!   event is read, never what is read
//! - `S2` the graph is bounded: [`EDGES_MAX`] edges, [`EDGES_PER_NODE_MAX`] at a node, [`LITERAL_MAX`] bytes an edge

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

use super::block::{BLOCK, Block, load16};
use super::paths::Action;

/// Edges a shape may have. Beyond that the general scan reads what is not known, without learning.
pub(super) const EDGES_MAX: usize = 512;
/// Edges tried at one place before the general scan.
const EDGES_PER_NODE_MAX: usize = 12;
/// The longest text of an edge.
const LITERAL_MAX: usize = 2 * BLOCK;
/// Full, and this many keys unknown since: the stream has changed its shape. Forget, and learn anew.
const UNKNOWN_UNTIL_FORGET: u32 = 100_000;

type NodeId = u16;
type EdgeId = u16;

const NO_EDGE: EdgeId = EdgeId::MAX;

/// A place in the graph, and the edge that was the first to leave it: for most events that is the one, and it is tried
/// without looking the node up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    node: NodeId,
    first: EdgeId,
}

/// What an edge says: the key that comes, and the place after its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub len: usize,
    pub action: Action,
    pub next: Place,
}

/// One cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Edge {
    literal: [[u8; BLOCK]; 2],
    masks: [u16; 2],
    len: u8,
    next: Place,
    action: Action,
}

#[derive(Clone, Debug, Default)]
struct Node {
    edges: [EdgeId; EDGES_PER_NODE_MAX],
    count: u8,
}

#[derive(Debug)]
pub(super) struct Shape {
    /// By context.
    starts: Vec<Place>,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    /// The nodes of known keys: (context, key) → node.
    known: HashTable<(u16, Box<[u8]>, NodeId)>,
    unknown: u32,
}

impl Shape {
    pub fn new(contexts: usize) -> Shape {
        let contexts = contexts as u16;
        Shape {
            starts: (0..contexts).map(|context| Place { node: start_node(context), first: NO_EDGE }).collect(),
            nodes: vec![Node::default(); 2 * usize::from(contexts)],
            edges: Vec::new(),
            known: HashTable::new(),
            unknown: 0,
        }
    }

    /// Before each event: the only moment at which nobody holds a node.
    #[inline(always)]
    pub fn begin_event(&mut self) {
        if self.unknown > UNKNOWN_UNTIL_FORGET {
            *self = Shape::new(self.starts.len());
        }
    }

    /// At the opening brace of a context.
    #[inline(always)]
    pub fn start(&self, context: u16) -> Place {
        self.starts[usize::from(context)]
    }

    pub fn is_start(place: Place, context: u16) -> bool {
        place.node == start_node(context)
    }

    /// The edge whose text stands at `at`.
    #[inline(always)]
    pub fn follow(&mut self, place: Place, buf: &[u8], at: usize) -> Option<Step> {
        let head = load16(buf, at);
        if let Some(edge) = self.edges.get(usize::from(place.first))
            && edge.stands(head, buf, at)
        {
            return Some(edge.step());
        }
        self.follow_others(place.node, buf, at)
    }

    #[inline(never)]
    fn follow_others(&mut self, node: NodeId, buf: &[u8], at: usize) -> Option<Step> {
        let node = &mut self.nodes[usize::from(node)];
        let head = load16(buf, at);
        for place in 0..usize::from(node.count) {
            let edge = &self.edges[usize::from(node.edges[place])];
            if edge.stands(head, buf, at) {
                if place > 1 {
                    // A busy edge climbs over one that was learned earlier and is rare. The first two stay as they are:
                    // two shapes in turn would swap them forever.
                    node.edges.swap(place, place - 1);
                }
                return Some(edge.step());
            }
        }
        None
    }

    /// After the general scan: `literal`, seen at `from`, holds `key` of `context`. Returns the place after its value.
    pub fn learn(&mut self, from: Place, context: u16, key: &[u8], literal: &[u8], action: Action) -> Place {
        let full = self.edges.len() >= EDGES_MAX;
        if full {
            self.unknown += 1;
        }
        let room = usize::from(self.nodes[usize::from(from.node)].count) < EDGES_PER_NODE_MAX;
        let learnable = !full && room && literal.len() <= LITERAL_MAX;
        let next = self.node(context, key, learnable).unwrap_or(stray_node(context));
        let next = self.place(next);
        if learnable {
            let id = self.edges.len() as EdgeId;
            self.edges.push(Edge::new(literal, next, action));
            let node = &mut self.nodes[usize::from(from.node)];
            node.edges[usize::from(node.count)] = id;
            node.count += 1;
            if node.count == 1 {
                // Whoever leads here may now guess.
                let places = self.starts.iter_mut().chain(self.edges.iter_mut().map(|edge| &mut edge.next));
                places.filter(|place| place.node == from.node).for_each(|place| place.first = id);
                // The edge may lead to the node that it leaves.
                return self.place(next.node);
            }
        }
        next
    }

    fn place(&self, node: NodeId) -> Place {
        let edges = &self.nodes[usize::from(node)];
        Place { node, first: if edges.count == 0 { NO_EDGE } else { edges.edges[0] } }
    }

    /// The node of a key, made if `make`.
    fn node(&mut self, context: u16, key: &[u8], make: bool) -> Option<NodeId> {
        let hasher = FixedState::default();
        let hash = |context: u16, key: &[u8]| hasher.hash_one((context, key));
        let known = self.known.find(hash(context, key), |(c, k, _)| *c == context && **k == *key);
        if let Some((_, _, node)) = known {
            return Some(*node);
        }
        if !make {
            return None;
        }
        let node = self.nodes.len() as NodeId;
        self.nodes.push(Node::default());
        self.known.insert_unique(hash(context, key), (context, key.into(), node), |(c, k, _)| hash(*c, k));
        Some(node)
    }
}

impl Edge {
    fn new(text: &[u8], next: Place, action: Action) -> Edge {
        let mut literal = [[0; BLOCK]; 2];
        literal.as_flattened_mut()[..text.len()].copy_from_slice(text);
        let bits = (1u64 << text.len()) - 1;
        Edge { literal, masks: [bits as u16, (bits >> BLOCK) as u16], len: text.len() as u8, next, action }
    }

    #[inline(always)]
    fn step(&self) -> Step {
        Step { len: usize::from(self.len), action: self.action, next: self.next }
    }

    #[inline(always)]
    fn stands(&self, head: Block, buf: &[u8], at: usize) -> bool {
        let wanted = u32::from(self.masks[0]);
        if head.equal(Block::new(&self.literal[0])) & wanted != wanted {
            return false;
        }
        if self.masks[1] == 0 {
            return true;
        }
        let wanted = u32::from(self.masks[1]);
        load16(buf, at + BLOCK).equal(Block::new(&self.literal[1])) & wanted == wanted
    }
}

fn start_node(context: u16) -> NodeId {
    2 * context
}

/// After the value of a key that is not known: one node for them all, so that the next key may be known again.
fn stray_node(context: u16) -> NodeId {
    2 * context + 1
}
