//! What waiting jobs need beside claims: deadlines, and a look at those that may go to another vendor.

use songmill_core::{Event, Job, JobId, Stage, VendorName};

use crate::connection::StoreError;
use crate::store::Store;

/// Lanes looked at for jobs that may go to another vendor.
const LANES: usize = 10_000;

impl Store {
    /// Ends waiting jobs whose own deadline has passed; how many were looked at.
    pub async fn end_overdue(&self, most: usize) -> Result<usize, StoreError> {
        let key = self.keys().deadlines();
        let mut ask = redis::cmd("ZRANGEBYSCORE");
        ask.arg(&key).arg("-inf").arg(self.now().as_millis()).arg("LIMIT").arg(0).arg(most);
        let over: Vec<String> = ask.query_async(&mut self.connection()).await?;
        if over.is_empty() {
            return Ok(0);
        }
        let ids = over.iter().filter_map(|id| id.parse::<JobId>().ok());
        let ended = ids.map(|id| async move { (id, self.apply(id, &Event::DeadlinePassed).await) });
        for (id, ended) in futures_util::future::join_all(ended).await {
            match ended {
                Ok(_) => {}
                // It cannot be read, and holds up nobody.
                Err(error) if error.is_of_a_job() => {
                    tracing::error!(job.id = %id, %error, "the deadline of a job cannot be seen to");
                }
                Err(error) => return Err(error),
            }
        }
        let mut done = redis::cmd("ZREM");
        done.arg(&key).arg(&over);
        done.query_async::<()>(&mut self.connection()).await?;
        Ok(over.len())
    }

    /// The lanes of jobs that may be submitted to a vendor now but name others behind it.
    pub async fn lanes_with_others(&self, vendor: &VendorName) -> Result<Vec<String>, StoreError> {
        let mut nodes = vec![(String::new(), self.keys().share(vendor))];
        for _ in 0..3 {
            let mut ask = redis::pipe();
            nodes.iter().for_each(|(_, node)| {
                ask.cmd("ZRANGE").arg(node).arg(0).arg(LANES - 1);
            });
            if nodes.is_empty() {
                return Ok(Vec::new());
            }
            let kids: Vec<Vec<String>> = ask.query_async(&mut self.connection()).await?;
            let below = nodes.iter().zip(kids).flat_map(|((path, node), kids)| {
                let name = move |kid: &String| match path.as_str() {
                    "" => kid.clone(),
                    path => format!("{path}:{kid}"),
                };
                kids.into_iter().map(move |kid| (name(&kid), format!("{node}:{kid}"))).collect::<Vec<_>>()
            });
            nodes = below.take(LANES).collect();
        }
        Ok(nodes.into_iter().map(|(lane, _)| lane).filter(|lane| lane.ends_with('+')).collect())
    }

    /// Jobs of a lane, after skipping so many.
    pub async fn in_lane(
        &self,
        vendor: &VendorName,
        lane: &str,
        skip: usize,
        most: usize,
    ) -> Result<Vec<Job>, StoreError> {
        let mut ask = redis::cmd("ZRANGE");
        let key = format!("{}:{lane}", self.keys().queue(Stage::Submit, vendor));
        ask.arg(key).arg(skip).arg(skip + most.max(1) - 1);
        let ids: Vec<String> = ask.query_async(&mut self.connection()).await?;
        let ids: Vec<JobId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
        let found = self.load_each(&ids).await?;
        // One that cannot be read waits for an operator where it is.
        Ok(found.into_iter().filter_map(|stored| Some(stored.ok()??.job)).collect())
    }
}
