//! Who asks for which task: by task, in the order of asking, and in the order in which the tasks were made.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use songmill_core::{TaskId, Timestamp};
use songmill_vendors::{Seen, Watched};

use super::{Ask, Look};

/// How long what a list has shown is as good as looking again.
const FRESH: Duration = Duration::from_secs(2);

/// All who wait for an answer.
#[derive(Default)]
pub(super) struct Table {
    tasks: HashMap<TaskId, Asked>,
    /// Tasks that nothing is looking for yet, in the order of asking and of making.
    by_turn: BTreeMap<u64, TaskId>,
    by_age: BTreeSet<(Timestamp, TaskId)>,
    /// When the tasks that each search shows were made.
    searches: HashMap<u64, Span>,
    /// Tasks that stood beside others in a list a moment ago: handlers may have them in hand already.
    fresh: HashMap<TaskId, (Instant, Look)>,
    turns: u64,
}

struct Asked {
    since: Timestamp,
    turn: u64,
    /// The search that will show it.
    search: Option<u64>,
    asks: Vec<Ask>,
}

#[derive(Clone, Copy)]
struct Span {
    first: Timestamp,
    last: Timestamp,
}

/// A search of the list, and what it looks for.
pub(super) struct Search {
    pub(super) number: u64,
    pub(super) tasks: Vec<Watched>,
}

/// What a list has shown.
#[derive(Default)]
pub(super) struct Shown {
    /// How much later than its submission began each task was made, in ms.
    pub(super) offsets: Vec<i64>,
    /// Tasks that nobody here asks for.
    pub(super) others: Vec<Seen>,
}

impl Table {
    /// Takes in who asks, or answers at once.
    pub(super) fn add(&mut self, ask: Ask) {
        let fresh = self.fresh.get(&ask.task.id);
        if let Some((seen, look)) = fresh
            && look.at > ask.after
            && seen.elapsed() < FRESH
        {
            let _ = ask.answer.send(Ok(look.clone()));
            return;
        }
        if let Some(asked) = self.tasks.get_mut(&ask.task.id) {
            asked.asks.push(ask);
            return;
        }
        let (id, since) = (ask.task.id.clone(), ask.task.since);
        let search = self.searches.iter().find(|(_, span)| (span.first..=span.last).contains(&since));
        let search = search.map(|(number, _)| *number);
        self.turns += 1;
        let asked = Asked { since, turn: self.turns, search, asks: vec![ask] };
        if search.is_none() {
            self.by_turn.insert(asked.turn, id.clone());
            self.by_age.insert((since, id.clone()));
        }
        self.tasks.insert(id, asked);
    }

    /// Whether nobody waits to be looked for.
    pub(super) fn is_idle(&self) -> bool {
        self.by_turn.is_empty()
    }

    /// The task that was asked for first, and those made next to it: less than `apart` from each other, within `most`.
    pub(super) fn group(&self, apart: Duration, most: Duration) -> Vec<Watched> {
        let first = self.by_turn.values().next().and_then(|id| Some((self.tasks.get(id)?.since, id.clone())));
        let Some(first) = first else { return Vec::new() };
        let mut group = std::collections::VecDeque::from([watched(&first)]);
        let (mut oldest, mut newest) = (first.0, first.0);
        for task in self.by_age.range(..first.clone()).rev() {
            if oldest.since(task.0) >= apart || newest.since(task.0) >= most {
                break;
            }
            oldest = task.0;
            group.push_front(watched(task));
        }
        for task in self.by_age.range(first..).skip(1) {
            if task.0.since(newest) >= apart || task.0.since(oldest) >= most {
                break;
            }
            newest = task.0;
            group.push_back(watched(task));
        }
        group.into()
    }

    /// Has a search look for a group, and for all others made in between who ask until it ends.
    pub(super) fn search(&mut self, group: Vec<Watched>) -> Search {
        self.turns += 1;
        let number = self.turns;
        for task in &group {
            if let Some(asked) = self.tasks.get_mut(&task.id) {
                asked.search = Some(number);
                self.by_turn.remove(&asked.turn);
                self.by_age.remove(&(asked.since, task.id.clone()));
            }
        }
        if let (Some(first), Some(last)) = (group.first(), group.last()) {
            self.searches.insert(number, Span { first: first.since, last: last.since });
        }
        Search { number, tasks: group }
    }

    /// Answers those who ask for what a list has shown.
    pub(super) fn shown(&mut self, seen: Vec<Seen>, at: Timestamp) -> Shown {
        let mut shown = Shown::default();
        let now = Instant::now();
        self.fresh.retain(|_, (seen, _)| seen.elapsed() < FRESH);
        for seen in seen {
            let look = Look { report: seen.report.clone(), at };
            if let Some(asked) = self.remove(&seen.task) {
                let offset =
                    |made: Timestamp| made.as_millis().cast_signed() - asked.since.as_millis().cast_signed();
                shown.offsets.extend(seen.made.map(offset));
                for ask in asked.asks {
                    let _ = ask.answer.send(Ok(look.clone()));
                }
            } else {
                self.fresh.insert(seen.task.clone(), (now, look));
                shown.others.push(seen);
            }
        }
        shown
    }

    /// Ends a search: those whom it has not shown wait again, but for those it was begun for.
    pub(super) fn end(&mut self, search: Search) -> Vec<Vec<Ask>> {
        self.searches.remove(&search.number);
        let missing = search.tasks.iter().filter_map(|task| Some(self.remove(&task.id)?.asks)).collect();
        for (id, asked) in &mut self.tasks {
            if asked.search == Some(search.number) {
                asked.search = None;
                self.by_turn.insert(asked.turn, id.clone());
                self.by_age.insert((asked.since, id.clone()));
            }
        }
        missing
    }

    /// Takes out who asks for these tasks.
    pub(super) fn take(&mut self, tasks: &[Watched]) -> Vec<Vec<Ask>> {
        tasks.iter().filter_map(|task| Some(self.remove(&task.id)?.asks)).collect()
    }

    fn remove(&mut self, id: &TaskId) -> Option<Asked> {
        let asked = self.tasks.remove(id)?;
        if asked.search.is_none() {
            self.by_turn.remove(&asked.turn);
            self.by_age.remove(&(asked.since, id.clone()));
        }
        Some(asked)
    }
}

fn watched((since, id): &(Timestamp, TaskId)) -> Watched {
    Watched { id: id.clone(), since: *since }
}

#[cfg(test)]
mod tests {
    use songmill_core::Report;
    use songmill_core::job::StepKind;
    use tokio::sync::oneshot;

    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    fn ask(id: &str, made: u64) -> (Ask, oneshot::Receiver<Result<Look, crate::driver::Stopped>>) {
        let (answer, answered) = oneshot::channel();
        let task = Watched { id: TaskId::new(id).unwrap(), since: at(made) };
        (Ask { step: StepKind::Song, task, after: Timestamp::default(), answer }, answered)
    }

    fn table(tasks: &[(&str, u64)]) -> Table {
        let mut table = Table::default();
        tasks.iter().for_each(|(id, made)| table.add(ask(id, *made).0));
        table
    }

    fn names(tasks: &[Watched]) -> Vec<&str> {
        tasks.iter().map(|task| task.id.as_str()).collect()
    }

    fn seen(id: &str) -> Seen {
        Seen { task: TaskId::new(id).unwrap(), report: Report::Pending, made: None, mark: None }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_asked_first_is_looked_for_with_those_made_next_to_it() {
        let mut table = table(&[("m", 50), ("z", 90), ("l", 48), ("k", 47), ("n", 51), ("a", 40)]);
        let group = table.group(3 * SECOND, 100 * SECOND);
        assert_eq!(names(&group), ["k", "l", "m", "n"]);
        assert_eq!(names(&table.group(3 * SECOND, 3 * SECOND)), ["l", "m"], "not wider than is allowed");
        table.search(group);
        assert_eq!(names(&table.group(3 * SECOND, 100 * SECOND)), ["z"]);
    }

    #[test]
    fn one_search_at_a_time_looks_through_a_part_of_the_list() {
        let mut table = table(&[("a", 10), ("b", 20)]);
        let group = table.group(60 * SECOND, 60 * SECOND);
        let search = table.search(group);
        let (late, mut answer) = ask("c", 15);
        table.add(late);
        assert!(table.is_idle(), "it waits for the search that is under way");
        let shown = table.shown(vec![seen("c"), seen("a"), seen("x")], at(100));
        assert!(answer.try_recv().unwrap().is_ok());
        assert_eq!(shown.others.len(), 1);
        let (again, mut answer) = ask("x", 12);
        table.add(again);
        assert!(answer.try_recv().unwrap().is_ok(), "it has just been seen");
        table.add(ask("d", 16).0);
        assert_eq!(table.end(search).len(), 1, "b was not shown");
        assert_eq!(names(&table.group(SECOND, SECOND)), ["d"], "nobody is forgotten");
    }

    #[test]
    fn what_was_seen_before_a_callback_does_not_answer_who_asks_after_it() {
        let mut table = Table::default();
        table.shown(vec![seen("x")], at(100));
        let (mut ask, mut answer) = ask("x", 1);
        ask.after = at(100);
        table.add(ask);
        assert!(answer.try_recv().is_err() && !table.is_idle());
    }
}
