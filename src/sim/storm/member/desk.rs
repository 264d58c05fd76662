//! The desk's task: mail, receipts and deadlines in, deliveries out; every input logged before it is acted on.

use super::{Mail, Member};
use crate::engine::desk::{Answer, Desk, DeskInput, DeskOutput};
use crate::engine::merge::{LimitJoin, Relief};
use crate::model::{EventTime, Millis, WallTime};
use crate::sim::storm::operators::Ask;
use crate::sim::storm::{Outside, Sabotage};

impl Member {
    /// Takes one message; while a checkpoint is taken, those behind a mark wait.
    pub(super) fn hear(&mut self, outside: &mut Outside<'_>, mail: Mail) {
        let Some(mail) = self.alignment.admit(mail.shard(), mail) else { return };
        let Mail::Cut { shard, cut, cells } = mail else { return self.take_mail(outside, mail) };
        self.homes.iter_mut().for_each(|homes| homes.take(cells.iter().cloned()));
        if self.alignment.mark(shard) {
            self.cut(outside, cut);
            self.contest(outside);
            self.publish_all(outside);
            for mail in self.alignment.release() {
                self.hear(outside, mail);
            }
        }
    }

    fn take_mail(&mut self, outside: &mut Outside<'_>, mail: Mail) {
        let input = match mail {
            Mail::Signals { signals, .. } if signals.is_empty() => return,
            Mail::Signals { signals, .. } => DeskInput::Signals(signals),
            Mail::Input(input) => input,
            Mail::Limit { shard, news } => {
                self.limits.push(shard, news);
                let mut told = Vec::new();
                self.limits.release(EventTime::MAX, &mut told);
                match told.pop() {
                    Some((_, input)) => input,
                    None => return,
                }
            }
            Mail::Home { input, cell, .. } => return self.welcome(outside, input, cell),
            Mail::Leaving { home, cell, .. } => return self.see_off(outside, home, *cell),
            Mail::Successor { number, relief } => return self.give_way(outside, number, &relief),
            Mail::Cut { .. } => return,
        };
        self.tell(outside, input);
    }

    pub(super) fn receive(&mut self, outside: &mut Outside<'_>) {
        let Some(answer) = self.answers.pop_front() else { return };
        if outside.pass("delivery_answered") {
            return;
        }
        outside.tellings.answered(outside.host, &answer, &outside.handover);
        let input = DeskInput::Receipt { receiver: answer.receiver, id: answer.id, outcome: answer.outcome };
        self.tell(outside, input);
        self.publish_after(outside, answer.home);
        outside.pass("receipt_logged");
    }

    /// Lets the desk's deadlines have their way.
    pub(super) fn tick(&mut self, outside: &mut Outside<'_>) {
        while self.desk.next_deadline().is_some_and(|at| at <= self.now(outside)) {
            let before = (self.desk.next_deadline(), self.desk.journal().total());
            self.tell(outside, DeskInput::Tick);
            if outside.disk.is_dead() || before == (self.desk.next_deadline(), self.desk.journal().total()) {
                return;
            }
        }
    }

    pub(super) fn now(&mut self, outside: &Outside<'_>) -> WallTime {
        self.clock.read(outside.wall(), Millis(outside.now))
    }

    /// Somebody asks for something. It is promised once it is on disk, and before the first checkpoint nothing is.
    pub fn operate(&mut self, outside: &mut Outside<'_>, ask: Ask) {
        let (now, host) = (self.now(outside), outside.host);
        let operation = outside.watch.seen.promises.operation(ask, now, host).filter(|_| self.begun);
        let Some(operation) = operation else { return };
        // What it ends may be told in the same step.
        let before = outside.watch.seen.promises.doubt(ask);
        let answer = self.ask_desk(outside, DeskInput::Operator(operation));
        let on_disk = self.log.as_ref().is_some_and(|log| log.sync().is_ok());
        match answer {
            Some(Ok(done)) if on_disk && !outside.disk.is_dead() => outside.watch.seen.promises.promise(&done),
            Some(Err(_)) => outside.watch.seen.promises.stand_by(before),
            Some(Ok(_)) | None => {}
        }
    }

    pub(super) fn tell(&mut self, outside: &mut Outside<'_>, input: DeskInput) {
        self.ask_desk(outside, input);
    }

    /// Acts on an input; the answer is to an operation.
    fn ask_desk(&mut self, outside: &mut Outside<'_>, input: DeskInput) -> Option<Answer> {
        let now = self.now(outside);
        let mut out = Vec::new();
        outside.watch.input(&input);
        let signals = match &input {
            DeskInput::Signals(signals) => signals.clone(),
            _ => Vec::new(),
        };
        self.step(outside, now, input, &mut out);
        if self.desk.next_deadline().is_some_and(|at| at <= now) {
            self.step(outside, now, DeskInput::Tick, &mut out);
        }
        if outside.disk.is_dead() {
            return None;
        }
        outside.watch.writes(&self.desk, &out);
        outside.watch.hears(&signals, &out);
        outside.watch.decided(outside.now, self.life, &out);
        outside.tellings.decided(&out);
        let speaks = out.iter().any(|output| matches!(output, DeskOutput::Deliver { .. }));
        if speaks && self.log.as_ref().is_some_and(|log| log.sync().is_err()) {
            self.log = None;
        }
        let announced = self.announce(outside, &out);
        let mut answer = None;
        for output in out {
            match output {
                DeskOutput::Deliver { receiver, delivery } => {
                    if outside.disk.is_dead() || outside.pass("delivery_started") {
                        return None;
                    }
                    self.post(outside, receiver, delivery, &announced);
                }
                DeskOutput::Answer(to) => answer = Some(to),
                DeskOutput::Journal(_) | DeskOutput::DeadLetter(_) => {}
            }
        }
        answer
    }

    /// Logs an input, then acts on it.
    fn step(&mut self, outside: &mut Outside<'_>, now: WallTime, input: DeskInput, out: &mut Vec<DeskOutput>) {
        let forgets = outside.options.sabotaged(Sabotage::ForgetAsked) && matches!(input, DeskInput::Operator(_));
        if let Some(log) = self.log.as_mut().filter(|_| !forgets)
            && log.append(now, &input).is_err()
        {
            self.log = None;
            outside.watch.log_broke();
        }
        if !outside.disk.is_dead() {
            self.desk.handle(now, input, out);
        }
    }

    /// Begins the log that follows the desk's cut and gives the cut away. Where no log can be begun there is no cut, and the
    /// log before goes on. Whether there is one.
    fn cut(&mut self, outside: &mut Outside<'_>, number: u64) -> bool {
        let cut = match self.dir.begin_log(number) {
            Ok(next) => {
                let cut = self.desk.cut();
                if outside.pass("checkpoint_cut") {
                    return true;
                }
                if self.log.replace(next).is_some_and(|log| log.seal().is_err()) {
                    outside.watch.log_broke();
                }
                Some(cut)
            }
            Err(_) => None,
        };
        let begun = cut.is_some();
        if !outside.options.sabotaged(Sabotage::LoseCut) {
            self.keeper.give_desk(outside.now, number, cut);
        }
        begun
    }

    /// Gives way to another desk. Deliveries under way go on, and their receipts are for it.
    fn give_way(&mut self, outside: &mut Outside<'_>, number: u64, relief: &Relief) {
        let next = Desk::new(outside.stage.desk(outside.options, &self.plan), outside.options.seed);
        let old = std::mem::replace(&mut self.desk, next);
        let mut out = Vec::new();
        self.desk.restore({ old }.cut(), &mut out);
        self.limits = LimitJoin::default();
        if !self.cut(outside, number) {
            self.log = None; // it is another desk's
            outside.watch.log_broke();
        }
        if !outside.disk.is_dead() {
            outside.watch.decided(outside.now, self.life, &out);
            self.relieve(outside, relief);
        }
    }

    /// Tells first what others will not: which rules are degraded no more.
    pub(super) fn relieve(&mut self, outside: &mut Outside<'_>, relief: &Relief) {
        for input in relief.of(self.desk.degraded()) {
            self.tell(outside, input);
        }
    }
}
