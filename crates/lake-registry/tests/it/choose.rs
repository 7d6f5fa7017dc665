//! Which release is taken, and what is said about it.

use std::collections::{BTreeMap, BTreeSet};

use lake_registry::{
    Candidate, Choice, Digest, LockEntry, NoChoice, Obstacle, Question, Warning, Why, choose,
};
use proptest::prelude::*;
use semver::{Version, VersionReq};

use crate::support::{LINUX, MAC, Place, noon, trusting, v};

/// A good release for Linux.
fn candidate(version: &str) -> Candidate {
    let digest = |what: &str| Digest::of(format!("{what} {version}").as_bytes());
    Candidate {
        version: v(version),
        release: Some(digest("release")),
        targets: BTreeMap::from([(LINUX.to_owned(), digest("linux"))]),
        yanked: None,
        requires_host: None,
        unusable: None,
    }
}

fn yanked(version: &str) -> Candidate {
    Candidate {
        yanked: Some(Some("sums are wrong".to_owned())),
        ..candidate(version)
    }
}

fn lock(version: &str) -> LockEntry {
    let candidate = candidate(version);
    LockEntry {
        transform: "utility".to_owned(),
        version: candidate.version,
        release: candidate.release.unwrap(),
        targets: candidate.targets,
    }
}

/// A question that owns its parts.
#[derive(Clone, Debug)]
struct Asked {
    requirement: VersionReq,
    request: Option<Version>,
    lock: Option<LockEntry>,
    locked: bool,
    blocked: BTreeSet<Digest>,
}

fn within(requirement: &str) -> Asked {
    Asked {
        requirement: requirement.parse().unwrap(),
        request: None,
        lock: None,
        locked: false,
        blocked: BTreeSet::new(),
    }
}

impl Asked {
    fn pinned(mut self, version: &str) -> Self {
        self.lock = Some(lock(version));
        self
    }

    fn requested(mut self, version: &str) -> Self {
        self.request = Some(v(version));
        self
    }

    fn locked(mut self) -> Self {
        self.locked = true;
        self
    }

    fn blocked(mut self, version: &str) -> Self {
        self.blocked.insert(lock(version).release);
        self
    }

    fn of(&self, candidates: &[Candidate]) -> Result<Choice, Box<NoChoice>> {
        let question = Question {
            name: "utility",
            requirement: &self.requirement,
            request: self.request.as_ref(),
            lock: self.lock.as_ref(),
            locked: self.locked,
            blocked: &self.blocked,
            host: &v("0.2.1"),
            target: LINUX,
        };
        choose(&question, candidates)
    }

    /// The answer, with its warnings, or the error.
    fn says(&self, candidates: &[Candidate]) -> String {
        match self.of(candidates) {
            Ok(choice) => {
                let warnings = choice.warnings.iter().map(|w| format!(" WARNING {w}"));
                format!("{choice}{}", warnings.collect::<String>())
            }
            Err(error) => format!("ERROR {error}"),
        }
    }
}

#[test]
fn the_newest_within_the_requirement_is_taken_and_what_was_passed_over_is_told() {
    let mut needs_newer = candidate("1.4.0");
    needs_newer.requires_host = Some(">=0.3".parse().unwrap());
    let mut other_target = candidate("1.5.0");
    other_target.targets = BTreeMap::from([(MAC.to_owned(), Digest::of(b"mac"))]);
    let mut unsigned = candidate("1.6.0");
    unsigned.unusable = Some("not signed".to_owned());
    let all = [
        candidate("2.0.0"),
        unsigned,
        candidate("1.2.0"),
        other_target,
        needs_newer,
        candidate("1.10.0-rc.1"),
        yanked("1.3.0"),
        yanked("1.1.0"),
    ];
    assert_eq!(
        within("1").says(&all),
        "1.2.0: newest within 1; 1.3.0 is yanked (sums are wrong); 1.4.0 needs lake >=0.3; 1.5.0 \
         was not built for x86_64-unknown-linux-gnu; 1.6.0 cannot be used (not signed)"
    );
    assert_eq!(
        within(">=1.2, <3").says(&all),
        "2.0.0: newest within >=1.2, <3"
    );
    assert_eq!(
        within("1.10.0-rc").says(&all),
        "1.10.0-rc.1: newest within 1.10.0-rc"
    );
    let choice = within("1").of(&all).unwrap();
    assert_eq!(choice.release, lock("1.2.0").release);
    assert_eq!(choice.artifact, lock("1.2.0").targets[LINUX]);
    assert_eq!(choice.why, Why::Newest("1".parse().unwrap()));
}

#[test]
fn where_none_fits_each_is_told_with_its_reason() {
    let mut needs_newer = candidate("1.4.0");
    needs_newer.requires_host = Some(">=0.3".parse().unwrap());
    let all = [
        candidate("0.9.0"),
        needs_newer,
        yanked("1.3.0"),
        candidate("1.5.0-rc.1"),
        candidate("2.0.0"),
    ];
    assert_eq!(
        within("1").blocked("1.3.0").says(&all),
        "ERROR no release of utility within 1 can be used: 2.0.0 is not within 1; 1.5.0-rc.1 is a \
         pre-release, which the requirement does not name; 1.4.0 needs lake >=0.3; 1.3.0 is yanked \
         (sums are wrong); 0.9.0 is not within 1"
    );
    assert_eq!(
        within("1").says(&[]),
        "ERROR the registry has no release of utility; `lake plugin publish` makes one"
    );
}

#[test]
fn a_blocked_release_is_passed_over_whichever_digest_names_it() {
    let all = [candidate("1.2.0"), candidate("1.3.0")];
    let says = "1.2.0: newest within 1; 1.3.0 is blocked since a rollback";
    assert_eq!(within("1").blocked("1.3.0").says(&all), says);
    let mut by_library = within("1");
    by_library.blocked.insert(lock("1.3.0").targets[LINUX]);
    assert_eq!(by_library.says(&all), says);
}

#[test]
fn the_lock_wins_over_what_is_newer() {
    let all = [candidate("1.2.0"), candidate("1.3.0")];
    assert_eq!(
        within("1").pinned("1.2.0").says(&all),
        "1.2.0: pinned by lake.lock"
    );
    assert_eq!(
        within("1").pinned("1.2.0").locked().says(&all),
        "1.2.0: pinned by lake.lock"
    );
}

#[test]
fn a_yanked_pin_is_kept_with_a_warning() {
    let all = [yanked("1.2.0"), candidate("1.3.0")];
    assert_eq!(
        within("1").pinned("1.2.0").says(&all),
        "1.2.0: pinned by lake.lock WARNING 1.2.0 is yanked (sums are wrong)"
    );
}

#[test]
fn a_pin_that_cannot_be_used_is_an_error_and_not_another_release() {
    let pinned = within("1").pinned("1.2.0");
    let good = candidate("1.3.0");
    let with = |change: fn(&mut Candidate)| {
        let mut candidate = candidate("1.2.0");
        change(&mut candidate);
        pinned.says(&[candidate, good.clone()])
    };
    let about = "ERROR utility 1.2.0, which lake.lock pins,";
    assert_eq!(
        within("2")
            .pinned("1.2.0")
            .says(&[candidate("1.2.0"), candidate("2.0.0")]),
        format!("{about} is not within 2; run `lake plugin update`")
    );
    assert_eq!(
        with(|c| c.requires_host = Some(">=0.3".parse().unwrap())),
        format!("{about} needs lake >=0.3; this is lake 0.2.1")
    );
    assert_eq!(
        with(|c| {
            c.unusable = Some("key us is revoked".to_owned());
            c.release = None;
            c.targets.clear();
        }),
        format!("{about} cannot be used (key us is revoked)")
    );
    assert_eq!(
        pinned.says(std::slice::from_ref(&good)),
        format!("{about} is not in the registry; it has 1.3.0")
    );
    assert_eq!(
        pinned.says(&[]),
        format!("{about} is not in the registry; it has none")
    );

    // Built for another target, and locked so.
    let mut elsewhere = candidate("1.2.0");
    elsewhere.targets = BTreeMap::from([(MAC.to_owned(), Digest::of(b"mac"))]);
    let mut asked = pinned.clone();
    asked.lock.as_mut().unwrap().targets = elsewhere.targets.clone();
    assert_eq!(
        asked.says(&[elsewhere]),
        format!("{about} was not built for x86_64-unknown-linux-gnu")
    );
}

#[test]
fn a_lock_and_a_registry_that_differ_are_told_with_both_digests() {
    let all = [candidate("1.2.0")];
    let mut other_release = within("1").pinned("1.2.0");
    let wrong = Digest::of(b"something else");
    other_release.lock.as_mut().unwrap().release = wrong;
    let right = lock("1.2.0");
    let advice = "a release never changes, so one of them was tampered with: find out which before \
                  you run `lake plugin update`";
    assert_eq!(
        other_release.says(&all),
        format!(
            "ERROR utility 1.2.0: the release is {wrong} in lake.lock and {} in the registry; {advice}",
            right.release
        )
    );
    let mut other_library = within("1").pinned("1.2.0");
    let targets = &mut other_library.lock.as_mut().unwrap().targets;
    targets.insert(LINUX.to_owned(), wrong);
    assert_eq!(
        other_library.says(&all),
        format!(
            "ERROR utility 1.2.0: the library for {LINUX} is {wrong} in lake.lock and {} in the \
             registry; {advice}",
            right.targets[LINUX]
        )
    );
    let mut more = within("1").pinned("1.2.0");
    more.lock
        .as_mut()
        .unwrap()
        .targets
        .insert(MAC.to_owned(), wrong);
    assert!(more.says(&all).contains(&format!(
        "the library for {MAC} is {wrong} in lake.lock and nothing in"
    )));
    // Asking for the same version by name is no way around it.
    assert!(
        other_release
            .requested("1.2.0")
            .says(&all)
            .contains("the release is sha256:")
    );
}

#[test]
fn a_blocked_pin_gives_way_to_the_newest_older_release_and_says_so() {
    let all = [
        candidate("1.0.0"),
        candidate("1.1.0"),
        yanked("1.1.5"),
        candidate("1.2.0"),
        candidate("1.3.0"),
    ];
    let asked = within("1").pinned("1.2.0").blocked("1.2.0");
    let says = "1.1.0: newest within 1 before 1.2.0; 1.1.5 is yanked (sums are wrong) WARNING \
                lake.lock pins 1.2.0, which is blocked since a rollback; run `lake plugin update` \
                to pin another";
    assert_eq!(asked.says(&all), says);
    assert_eq!(asked.clone().locked().says(&all), says);
    let choice = asked.of(&all).unwrap();
    assert_eq!(
        choice.why,
        Why::NewestBelow("1".parse().unwrap(), v("1.2.0"))
    );
    assert_eq!(choice.warnings, [Warning::LockedIsBlocked(v("1.2.0"))]);
    // Also where the blocked one is gone from the registry.
    assert_eq!(asked.says(&all[..3]), says);
    assert_eq!(
        asked.says(&all[3..]),
        "ERROR no release of utility within 1 can be used: 1.3.0 is not older than 1.2.0; 1.2.0 is \
         not older than 1.2.0"
    );
}

#[test]
fn what_was_asked_for_wins_and_what_is_odd_about_it_is_told() {
    let all = [candidate("1.2.0"), yanked("1.3.0"), candidate("2.0.0-rc.1")];
    assert_eq!(
        within("1").requested("1.2.0").says(&all),
        "1.2.0: asked for"
    );
    assert_eq!(
        within("1").requested("1.3.0").says(&all),
        "1.3.0: asked for WARNING 1.3.0 is yanked (sums are wrong)"
    );
    assert_eq!(
        within("1")
            .pinned("1.2.0")
            .locked()
            .requested("2.0.0-rc.1")
            .says(&all),
        "2.0.0-rc.1: asked for WARNING 2.0.0-rc.1 is not within 1, which the pipeline file says \
         WARNING lake.lock pins 1.2.0"
    );
    assert_eq!(
        within("1").requested("1.4.0").says(&all),
        "ERROR utility 1.4.0, which was asked for, is not in the registry; it has 1.2.0, 1.3.0, \
         2.0.0-rc.1"
    );
    assert_eq!(
        within("1").requested("1.2.0").blocked("1.2.0").says(&all),
        "ERROR utility 1.2.0, which was asked for, is blocked since a rollback; --allow names a \
         release that may be used again"
    );
}

#[test]
fn a_lock_that_is_required_has_to_be_there() {
    let all = [candidate("1.2.0")];
    let says = "ERROR --locked, and lake.lock has no entry for this pipeline, which uses utility; \
                run `lake plugin update`";
    assert_eq!(within("1").locked().says(&all), says);
    assert_eq!(within("1").locked().requested("1.2.0").says(&all), says);
    let mut other = within("1").pinned("1.2.0");
    other.lock.as_mut().unwrap().transform = "meters".to_owned();
    assert_eq!(
        other.says(&all),
        "ERROR lake.lock pins the transform meters and the pipeline file names utility; run `lake \
         plugin update`"
    );
}

#[tokio::test]
async fn what_a_registry_has_can_be_chosen_from() {
    let place = Place::with(&["1.0.0", "1.1.0", "1.2.0", "1.3.0"]).await;
    let registry = &place.registry;
    let yank = registry
        .yank("utility", &v("1.3.0"), None, None, noon())
        .await;
    assert_eq!(yank.unwrap(), lake_registry::Yanked::Now);
    let payload = place.payload("1.2.0").await;
    place.put_signed("1.2.0", &payload, &[9]).await;
    let listing = registry
        .list(Some("utility"), &trusting(&[1]))
        .await
        .unwrap();
    let candidates: Vec<Candidate> = listing.releases.iter().map(Candidate::from).collect();
    let said = within("1").says(&candidates);
    assert!(
        said.starts_with(
            "1.1.0: newest within 1; 1.2.0 cannot be used (registry/utility/1.2.0/release.json: not \
             signed by a key that is trusted for it: key "
        ),
        "{said}"
    );
    assert!(said.ends_with("; 1.3.0 is yanked"), "{said}");
    // What is chosen can be opened and fetched, byte for byte.
    let choice = within("1").of(&candidates).unwrap();
    let version = choice.version.to_string();
    let opened = place.open_pinned(&version, &choice.release).await.unwrap();
    assert_eq!(opened.artifact(LINUX).unwrap().digest, choice.artifact);
    assert_eq!(registry.fetch(&opened, LINUX).await.unwrap(), "linux 1.1.0");
}

fn any_candidate() -> impl Strategy<Value = Candidate> {
    let parts = (
        0..3u64,
        0..3u64,
        0..3u64,
        prop::option::weighted(0.2, 1..3u64),
    );
    let flags = (any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>());
    (parts, flags).prop_map(
        |((major, minor, patch, pre), (yank, host, target, broken))| {
            let pre = pre.map(|pre| format!("-rc.{pre}")).unwrap_or_default();
            let mut candidate = candidate(&format!("{major}.{minor}.{patch}{pre}"));
            candidate.yanked = (yank % 4 == 0).then_some(None);
            candidate.requires_host = (host % 4 == 0).then(|| ">=0.3".parse().unwrap());
            if target % 4 == 0 {
                candidate.targets = BTreeMap::from([(MAC.to_owned(), Digest::of(b"mac"))]);
            }
            candidate.unusable = (broken % 4 == 0).then(|| "broken".to_owned());
            candidate
        },
    )
}

fn any_candidates() -> impl Strategy<Value = Vec<Candidate>> {
    prop::collection::vec(any_candidate(), 0..12).prop_map(|mut all| {
        let mut seen = BTreeSet::new();
        all.retain(|candidate| seen.insert(candidate.version.clone()));
        all
    })
}

fn any_asked() -> impl Strategy<Value = Asked> {
    let requirement = prop::sample::select(vec![
        "*", "0", "1", "1.1", "=1.1.1", ">=1, <2", "1.0.0-rc", "0.1",
    ]);
    let version = prop::option::weighted(0.3, (0..3u64, 0..3u64, 0..3u64));
    let blocked = prop::collection::vec((0..3u64, 0..3u64, 0..3u64), 0..4);
    (
        requirement,
        version.clone(),
        version,
        any::<bool>(),
        blocked,
    )
        .prop_map(|(requirement, request, pin, locked, blocked)| {
            let shown = |(a, b, c): (u64, u64, u64)| format!("{a}.{b}.{c}");
            let mut asked = within(requirement);
            asked.request = request.map(|version| v(&shown(version)));
            asked.lock = pin.map(|version| lock(&shown(version)));
            asked.locked = locked && asked.lock.is_some();
            for version in blocked {
                asked = asked.blocked(&shown(version));
            }
            asked
        })
}

proptest! {
    #[test]
    fn the_order_of_the_candidates_does_not_matter(
        (candidates, shuffled) in any_candidates()
            .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        asked in any_asked(),
    ) {
        prop_assert_eq!(asked.says(&candidates), asked.says(&shuffled));
    }

    #[test]
    fn what_is_chosen_is_there_usable_and_not_blocked(
        candidates in any_candidates(),
        asked in any_asked(),
    ) {
        let Ok(choice) = asked.of(&candidates) else { return Ok(()) };
        let chosen = candidates.iter().find(|c| c.version == choice.version).unwrap();
        prop_assert_eq!(Some(choice.release), chosen.release);
        prop_assert_eq!(Some(&choice.artifact), chosen.targets.get(LINUX));
        prop_assert!(chosen.unusable.is_none());
        prop_assert!(chosen.requires_host.is_none());
        prop_assert!(!asked.blocked.contains(&choice.release));
        prop_assert!(asked.requirement.matches(&choice.version) || choice.why == Why::Requested);
        match &choice.why {
            Why::Requested => prop_assert_eq!(Some(&choice.version), asked.request.as_ref()),
            Why::Locked => prop_assert_eq!(Some(choice.release), asked.lock.map(|lock| lock.release)),
            Why::Newest(_) => prop_assert!(asked.lock.is_none() && asked.request.is_none()),
            Why::NewestBelow(_, below) => prop_assert!(choice.version < *below),
        }
        // A yanked release is never taken silently, and never anew.
        let is_told = choice.warnings.iter().any(|w| matches!(w, Warning::Yanked(..)));
        prop_assert_eq!(chosen.yanked.is_some(), is_told);
    }

    #[test]
    fn each_newer_release_is_told_with_what_stands_in_its_way(
        candidates in any_candidates(),
        mut asked in any_asked(),
    ) {
        asked.lock = None;
        asked.locked = false;
        asked.request = None;
        let good = |c: &Candidate| {
            c.unusable.is_none()
                && c.yanked.is_none()
                && c.requires_host.is_none()
                && c.targets.contains_key(LINUX)
                && !asked.blocked.contains(&c.release.unwrap())
        };
        let within: BTreeSet<&Version> = candidates
            .iter()
            .filter(|c| asked.requirement.matches(&c.version))
            .map(|c| &c.version)
            .collect();
        let best = candidates.iter().filter(|c| within.contains(&c.version) && good(c));
        let best = best.map(|c| &c.version).max();
        match asked.of(&candidates) {
            Ok(choice) => {
                prop_assert_eq!(Some(&choice.version), best);
                let told: Vec<&Version> = choice.passed_over.iter().map(|(v, _)| v).collect();
                let newer: Vec<&Version> =
                    within.iter().filter(|v| ***v > choice.version).copied().collect();
                prop_assert_eq!(told, newer);
            }
            Err(error) => {
                prop_assert_eq!(best, None);
                match *error {
                    NoChoice::NoneFits { candidates: told, .. } => {
                        prop_assert_eq!(told.len(), candidates.len());
                        for (version, obstacle) in told {
                            let outside =
                                matches!(obstacle, Obstacle::Outside(_) | Obstacle::PreRelease);
                            prop_assert_eq!(outside, !within.contains(&version));
                        }
                    }
                    NoChoice::NoReleases(_) => prop_assert!(candidates.is_empty()),
                    other => prop_assert!(false, "{}", other),
                }
            }
        }
    }

    #[test]
    fn yanking_a_pinned_release_changes_nothing_but_a_warning(candidates in any_candidates()) {
        for at in 0..candidates.len() {
            let mut all = candidates.clone();
            let mut asked = within("*").pinned(&all[at].version.to_string());
            asked.lock.as_mut().unwrap().targets = all[at].targets.clone();
            all[at].yanked = None;
            let before = asked.of(&all);
            all[at].yanked = Some(None);
            match (before, asked.of(&all)) {
                (Ok(before), Ok(after)) => {
                    prop_assert_eq!(before.release, after.release);
                    prop_assert_eq!(after.warnings.len(), 1);
                }
                (before, after) => prop_assert_eq!(before, after),
            }
        }
    }
}
