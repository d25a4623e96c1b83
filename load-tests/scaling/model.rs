//! What an event costs, as a sum of what an event, a request and a transaction cost; and how many events a second of
//! them a machine does.

use super::points::{Cost, Engine, Part, Points};

/// A check that fails is farther off than this.
pub const ERROR_MAX: f64 = 0.15;
/// Cores of the machine that every rate was measured on.
const CORES: f64 = 2.0;

/// us of an event, of a request and of a transaction.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    pub event: f64,
    pub request: f64,
    pub batch: f64,
}

impl Terms {
    pub fn us(self, request: f64, batch: f64) -> f64 {
        self.event + self.request / request + self.batch / batch
    }

    /// Through exactly three points.
    fn of(points: &[&Cost]) -> Self {
        let [a, b, c] = points else { panic!("three points make three terms, not {}", points.len()) };
        let row = |point: &Cost| [1.0 / point.request, 1.0 / point.batch, point.us];
        let less = |left: [f64; 3], right: [f64; 3]| -> [f64; 3] { std::array::from_fn(|n| left[n] - right[n]) };
        let (first, second) = (less(row(b), row(a)), less(row(c), row(a)));
        let determinant = first[0] * second[1] - first[1] * second[0];
        let request = (first[2] * second[1] - first[1] * second[2]) / determinant;
        let batch = (first[0] * second[2] - first[2] * second[0]) / determinant;
        Self { event: a.us - request / a.request - batch / a.batch, request, batch }
    }
}

pub struct Model {
    pub node: Terms,
    timescale: Terms,
    postgres: Terms,
    /// What a run that lasts adds on postgres: deriving, and b-trees that outgrow the cache. On timescale runs cost
    /// the same.
    pub standing: f64,
    /// The part of the processors that is used at full load.
    pub used: f64,
}

impl Model {
    pub fn of(points: &Points) -> Self {
        let fitted = |of: Part, engine: Engine| -> Terms {
            let those = points.cost.iter().filter(|cost| cost.of == of && cost.engine == engine);
            Terms::of(&those.filter(|cost| cost.fitted && !cost.standing).collect::<Vec<_>>())
        };
        let postgres = fitted(Part::Database, Engine::Postgres);
        let lasting = points.cost.iter().find(|cost| cost.standing && cost.fitted).expect("a run that lasts");
        let rate = points.rate.iter().find(|rate| rate.fitted).expect("a rate that was fitted");
        Self {
            node: fitted(Part::Node, Engine::Timescale),
            timescale: fitted(Part::Database, Engine::Timescale),
            postgres,
            standing: lasting.us - postgres.us(lasting.request, lasting.batch),
            used: rate.events_per_second * rate.us.iter().sum::<f64>() / 1e6 / CORES,
        }
    }

    pub fn database(&self, engine: Engine) -> Terms {
        match engine {
            Engine::Timescale => self.timescale,
            Engine::Postgres => self.postgres,
        }
    }

    /// What lasts, where the engine has any of it.
    pub fn standing_of(&self, engine: Engine) -> f64 {
        match engine {
            Engine::Timescale => 0.0,
            Engine::Postgres => self.standing,
        }
    }

    /// Events a second of so many cores of which everything is used that can be.
    pub fn rate(&self, cores: f64, us: f64) -> f64 {
        cores * self.used * 1e6 / us
    }

    /// The ratio to raw COPY per processor second that is to be expected of any number of nodes: they share nothing
    /// but the database.
    pub fn ratio(&self, points: &Points, engine: Engine, request: f64, batch: f64) -> f64 {
        let us = self.node.us(request, batch) + self.database(engine).us(request, batch) + points.raw.sender;
        points.raw_us(engine) / us
    }
}

/// A point that the model was not fitted to.
pub struct Check {
    pub what: String,
    pub unit: &'static str,
    pub measured: f64,
    pub predicted: f64,
    pub not_judged: Option<String>,
    pub from: String,
}

impl Check {
    pub fn error(&self) -> f64 {
        self.predicted / self.measured - 1.0
    }
}

pub fn checks(points: &Points, model: &Model) -> Vec<Check> {
    let costs = points.cost.iter().filter(|cost| !cost.fitted).map(|cost| {
        let terms = if cost.of == Part::Node { model.node } else { model.database(cost.engine) };
        let standing = if cost.standing { model.standing } else { 0.0 };
        Check {
            what: format!(
                "{}, {}, {} a request, {} a transaction",
                cost.of.name(),
                cost.engine.name(),
                cost.request,
                cost.batch
            ),
            unit: "us an event",
            measured: cost.us,
            predicted: terms.us(cost.request, cost.batch) + standing,
            not_judged: None,
            from: cost.from.clone(),
        }
    });
    let rates = points.rate.iter().filter(|rate| !rate.fitted).map(|rate| Check {
        what: format!("two cores, {}", rate.engine.name()),
        unit: "events/s",
        measured: rate.events_per_second,
        predicted: model.rate(CORES, rate.us.iter().sum()),
        not_judged: rate.not_judged.clone(),
        from: rate.from.clone(),
    });
    costs.chain(rates).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_points_give_their_terms_back() {
        let terms = Terms { event: 2.0, request: 30.0, batch: 500.0 };
        let points = [(1000.0, 1000.0), (10.0, 700.0), (100.0, 200.0)].map(|(request, batch)| Cost {
            of: Part::Node,
            engine: Engine::Postgres,
            request,
            batch,
            us: terms.us(request, batch),
            standing: false,
            fitted: true,
            from: String::new(),
        });
        let found = Terms::of(&points.each_ref());
        let near = |one: f64, other: f64| (one - other).abs() < 1e-6;
        assert!(near(found.event, 2.0) && near(found.request, 30.0) && near(found.batch, 500.0), "{found:?}");
    }

    #[test]
    fn points_that_made_the_model_come_back() {
        let points = Points::read();
        let model = Model::of(&points);
        for cost in points.cost.iter().filter(|cost| cost.fitted) {
            let terms = if cost.of == Part::Node { model.node } else { model.database(cost.engine) };
            let us = terms.us(cost.request, cost.batch) + if cost.standing { model.standing } else { 0.0 };
            assert!((us - cost.us).abs() < 1e-6, "{cost:?}: {us}");
        }
        assert!((0.5..1.0).contains(&model.used), "{} of the processors", model.used);
        let all = [model.node, model.timescale, model.postgres];
        assert!(all.iter().all(|terms| terms.event > 0.0 && terms.request > 0.0 && terms.batch > 0.0), "{all:?}");
        assert!(model.standing > 0.0);
    }

    #[test]
    fn the_model_is_near_to_what_did_not_make_it() {
        let points = Points::read();
        let checks = checks(&points, &Model::of(&points));
        assert!(checks.iter().filter(|check| check.not_judged.is_none()).count() >= 10, "something judges it");
        for check in checks.iter().filter(|check| check.not_judged.is_none()) {
            assert!(
                check.error().abs() <= ERROR_MAX,
                "{}: {} instead of {}",
                check.what,
                check.predicted,
                check.measured
            );
        }
    }

    #[test]
    fn what_is_measured_one_day_is_near_to_it_as_well() {
        let points = Points::read();
        let expected = Model::of(&points).ratio(&points, Engine::Postgres, 1000.0, 1000.0);
        for (name, measured) in &points.measured {
            if let Some(value) = measured.value {
                assert!((expected / value - 1.0).abs() <= ERROR_MAX, "{name}: {expected} instead of {value}");
            }
        }
    }
}
