//! The links of the simulator: each node has an uplink and a downlink of its own, and nothing else
//! is narrow.
//!
//! Bytes move in blocks. A few flows on an uplink at a time take turns, as connections that share a
//! link do, and the others queue, as with our programs;
//! a flow of which a few blocks have not landed waits, as a connection does whose window is full,
//! and leaves its turn to others. A downlink takes blocks in the order in which they were sent.

use std::collections::{HashMap, VecDeque};

use super::calendar::{Calendar, Micros};

pub type Bytes = u64;

/// So many flows share an uplink, as our programs have it.
const AT_ONCE: usize = 4;

/// A transfer, by the number that the caller gave it.
pub type FlowId = u64;

/// What the network enters into the calendar; to be handed back to it when its time has come.
#[derive(Clone, Copy, Debug)]
pub enum Move {
    /// A block has left this end's uplink.
    Sent(usize),
    /// A block has come to the receiver.
    Landed(FlowId, Bytes),
}

struct End {
    up: Bytes,
    down: Bytes,
    /// Flows whose turn it is, and those that wait for one.
    served: Vec<FlowId>,
    queue: VecDeque<FlowId>,
    is_sending: bool,
    /// Until when the downlink is taken.
    down_until: Micros,
}

struct Flow {
    from: usize,
    to: usize,
    left: Bytes,
    landed: Bytes,
    in_flight: u32,
}

pub struct Network {
    ends: Vec<End>,
    flows: HashMap<FlowId, Flow>,
    block: Bytes,
    /// From one end to another.
    delay: Micros,
    /// So many blocks of a flow are on the way.
    window: u32,
    pub sent: Bytes,
}

impl Network {
    pub fn new(block: Bytes, delay: Micros) -> Self {
        Self { ends: Vec::new(), flows: HashMap::new(), block, delay, window: 4, sent: 0 }
    }

    /// Another end, with its rates in bytes per second.
    pub fn add(&mut self, up: Bytes, down: Bytes) -> usize {
        let (served, queue) = (Vec::new(), VecDeque::new());
        let end = End { up, down, served, queue, is_sending: false, down_until: 0 };
        self.ends.push(end);
        // A connection's window covers its round trip.
        let on_the_way = up.max(down) / 1000 * self.delay / 1000 / self.block;
        self.window = self.window.max(2 + u32::try_from(on_the_way).unwrap());
        self.ends.len() - 1
    }

    pub fn slow_down(&mut self, end: usize, factor: u64) {
        self.ends[end].up /= factor;
    }

    pub fn start<T: From<Move>>(
        &mut self,
        id: FlowId,
        (from, to): (usize, usize),
        bytes: Bytes,
        now: Micros,
        calendar: &mut Calendar<T>,
    ) {
        let flow = Flow { from, to, left: bytes, landed: 0, in_flight: 0 };
        self.flows.insert(id, flow);
        self.ends[from].queue.push_back(id);
        self.send(from, now, calendar);
    }

    pub fn stop(&mut self, id: FlowId) {
        self.flows.remove(&id);
    }

    /// Stops all that an end sends and receives.
    pub fn cut_off(&mut self, end: usize) {
        self.flows.retain(|_, flow| flow.from != end && flow.to != end);
    }

    /// Goes on where a move ends; the bytes of the flow that have landed by then, if any have.
    pub fn go_on<T: From<Move>>(
        &mut self,
        moved: Move,
        now: Micros,
        calendar: &mut Calendar<T>,
    ) -> Option<(FlowId, Bytes)> {
        match moved {
            Move::Sent(end) => {
                self.ends[end].is_sending = false;
                self.send(end, now, calendar);
                None
            }
            Move::Landed(id, bytes) => {
                let flow = self.flows.get_mut(&id)?;
                flow.landed += bytes;
                flow.in_flight -= 1;
                let (from, landed) = (flow.from, flow.landed);
                self.send(from, now, calendar);
                if self.flows[&id].left == 0 && self.flows[&id].in_flight == 0 {
                    self.flows.remove(&id);
                }
                Some((id, landed))
            }
        }
    }

    /// Begins the next block of an idle uplink.
    fn send<T: From<Move>>(&mut self, from: usize, now: Micros, calendar: &mut Calendar<T>) {
        let end = &mut self.ends[from];
        if end.is_sending {
            return;
        }
        end.served.retain(|id| self.flows.get(id).is_some_and(|flow| flow.left > 0));
        while end.served.len() < AT_ONCE
            && let Some(id) = end.queue.pop_front()
        {
            if self.flows.contains_key(&id) {
                end.served.push(id);
            }
        }
        let open = |id: &FlowId| self.flows[id].in_flight < self.window;
        let Some(place) = end.served.iter().position(open) else {
            return; // all windows are full; the next block that lands opens one
        };
        let id = end.served.remove(place);
        end.served.push(id);
        let flow = self.flows.get_mut(&id).unwrap();
        let bytes = flow.left.min(self.block);
        flow.left -= bytes;
        flow.in_flight += 1;
        self.sent += bytes;
        end.is_sending = true;
        let sent_at = now + micros(bytes, end.up);
        let to = &mut self.ends[flow.to];
        // It begins to land while it still leaves.
        to.down_until = to.down_until.max(now) + micros(bytes, to.down);
        let landed_at = to.down_until.max(sent_at) + self.delay;
        calendar.enter(sent_at, Move::Sent(from).into());
        calendar.enter(landed_at, Move::Landed(id, bytes).into());
    }
}

/// How long a link takes for so many bytes.
pub const fn micros(bytes: Bytes, bytes_per_s: Bytes) -> Micros {
    (bytes * 1_000_000).div_ceil(bytes_per_s)
}
