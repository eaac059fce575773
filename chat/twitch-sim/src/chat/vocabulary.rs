//! Made-up people, words and emotes. Nothing here names anybody.

use crate::random::{Rng, push_number};

/// One made-up chatter, with the parts of a line that never change for them.
#[derive(Clone, Debug)]
pub(crate) struct Chatter {
    pub(crate) login: String,
    pub(crate) display_name: String,
    pub(crate) id: u64,
    pub(crate) color: String,
    pub(crate) badge_info: String,
    pub(crate) badges: String,
    pub(crate) subscriber: bool,
    pub(crate) moderator: bool,
    pub(crate) turbo: bool,
}

/// One made-up emote: what is typed, and what the `emotes` tag calls it.
#[derive(Clone, Debug)]
pub(crate) struct Emote {
    pub(crate) name: &'static str,
    pub(crate) id: String,
}

const ADJECTIVES: [&str; 24] = [
    "amber", "brisk", "copper", "dapper", "early", "fuzzy", "gentle", "hollow", "ivory", "jolly", "keen", "lunar",
    "mellow", "nimble", "opal", "plucky", "quiet", "rusty", "silver", "tidy", "umber", "velvet", "windy", "zesty",
];
const NOUNS: [&str; 24] = [
    "anvil", "badger", "comet", "dynamo", "ember", "falcon", "gadget", "harbor", "island", "jigsaw", "kettle",
    "lantern", "marble", "needle", "otter", "pixel", "quartz", "rocket", "sparrow", "turnip", "uncle", "violin",
    "walnut", "yodel",
];
const LOCAL_NAMES: [&str; 6] = ["ほしのうさぎ", "별빛고래", "流星水獭", "ЛунныйСом", "Ñandú_Feliz", "ستاره"];

pub(crate) const WORDS: [&str; 48] = [
    "hello", "nice", "wow", "what", "again", "chat", "late", "soup", "go", "left", "right", "no", "yes", "this", "run",
    "is", "clean", "that", "was", "close", "one", "more", "try", "the", "bridge", "door", "first", "time", "here",
    "lol", "gg", "easy", "hard", "skip", "song", "again?", "how", "why", "when", "it's", "over", "now;", "C:\\dev",
    "a=b", "50%", "(maybe)", "..", "!",
];
pub(crate) const FOREIGN_WORDS: [&str; 12] =
    ["お疲れ", "ｗｗｗ", "안녕", "привет", "ñandú", "naïve", "🔥", "😀😀", "👩‍🚀", "🏴‍☠️", "ça", "e\u{301}te\u{301}"];
const EMOTE_NAMES: [&str; 16] = [
    "simWave",
    "simHype",
    "simLurk",
    "simSoup",
    "simPanic",
    "simNod",
    "simParty",
    "simSleep",
    "simRain",
    "simGrin",
    "SimRocket",
    "SimFrog",
    "SimClap",
    ":simD",
    "<sim3",
    "simO_o",
];
const COLORS: [&str; 12] = [
    "#1E90FF", "#FF7F50", "#8A2BE2", "#2E8B57", "#FF69B4", "#DAA520", "#5F9EA0", "#B22222", "#9ACD32", "#00FF7F",
    "#D2691E", "",
];

/// The crowd of a seed: the same people for the same seed and size.
pub(crate) fn chatters(seed: u64, count: usize) -> Vec<Chatter> {
    let mut rng = Rng::fork(seed, 1);
    (0..count).map(|at| chatter(&mut rng, at)).collect()
}

fn chatter(rng: &mut Rng, at: usize) -> Chatter {
    let adjective = rng.pick(&ADJECTIVES);
    let noun = rng.pick(&NOUNS);
    let login = format!("{adjective}_{noun}{at}");
    let display_name = if rng.per_mille(20) {
        rng.pick(&LOCAL_NAMES).to_owned()
    } else if rng.per_mille(500) {
        format!("{}{}_{}{}{at}", adjective[..1].to_uppercase(), &adjective[1..], noun[..1].to_uppercase(), &noun[1..])
    } else {
        login.clone()
    };
    let subscriber = rng.per_mille(350);
    let moderator = rng.per_mille(20);
    let months = rng.below(60) + 1;
    let mut badges = Vec::new();
    if moderator {
        badges.push("moderator/1".to_owned());
    }
    if subscriber {
        badges.push(format!("subscriber/{}", months / 3 * 3));
    }
    if rng.per_mille(150) {
        badges.push("premium/1".to_owned());
    }
    if rng.per_mille(50) {
        badges.push("no_audio/1".to_owned());
    }
    Chatter {
        login,
        display_name,
        id: 900_000_000 + at as u64 * 7 + rng.below(7) as u64,
        color: rng.pick(&COLORS).to_owned(),
        badge_info: if subscriber { format!("subscriber/{months}") } else { String::new() },
        badges: badges.join(","),
        subscriber,
        moderator,
        turbo: rng.per_mille(10),
    }
}

/// The emotes of a seed: half with numeric ids, as old emotes have, half with ids as new ones have.
pub(crate) fn emotes(seed: u64) -> Vec<Emote> {
    let mut rng = Rng::fork(seed, 2);
    let id = |at: usize, rng: &mut Rng| {
        let mut id = Vec::new();
        if at.is_multiple_of(2) {
            push_number(&mut id, 300_000_000 + at as u64);
        } else {
            id.extend_from_slice(b"emotesv2_");
            rng.write_hex(&mut id, 32);
        }
        String::from_utf8_lossy(&id).into_owned()
    };
    EMOTE_NAMES.iter().enumerate().map(|(at, name)| Emote { name, id: id(at, &mut rng) }).collect()
}
