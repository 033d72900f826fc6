use super::*;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("covirt.toml"), text).map_err(|error| error.to_string())
}

#[test]
fn an_empty_file_is_a_whole_configuration() {
    let config = parse("").unwrap();
    assert_eq!(config.connect, "qemu:///system");
    assert_eq!(config.directory.operator.uids, BTreeSet::from([0]));
    assert_eq!(config.socket_mode, 0o660);
}

#[test]
fn a_provider_is_known_with_its_consent() {
    let text = "[[provider]]\nid = 'south'\nuids = [7]\nstanding = 'theirs-first'\non_silence = 'withdraw-mine'\n";
    let config = parse(text).unwrap();
    let south: ProviderId = "south".parse().unwrap();
    assert_eq!(config.standing.get(&south), Some(&Said::TheirsFirst));
    assert_eq!(config.policy.consent_of(&south).on_silence, Said::WithdrawMine);
}

#[test]
fn a_pair_that_the_operator_decides_about_may_be_named_either_way() {
    let text = "[lane]\nescalate = [['south', 'north']]\nescalate_wait_ms = 9000\n[[provider]]\nid = 'north'\n[[provider]]\nid = 'south'\n";
    let policy = parse(text).unwrap().policy;
    assert_eq!(policy.escalate, [("north".parse().unwrap(), "south".parse().unwrap())].into());
    assert_eq!(policy.escalate_wait, Duration::from_secs(9));
}

#[test]
fn a_provider_with_a_door_has_its_roles_there() {
    let south = "[[provider]]\nid = 'south'\ndoor = true\nroles = ['host', 'read-secure']\n";
    let doors = parse(south).unwrap().doors.unwrap();
    assert_eq!(doors.dir, Path::new("/run/covirt/providers"));
    assert_eq!(doors.upstream, Upstream::of_uri("qemu:///system").unwrap());
    assert_eq!(doors.roles, [("south".parse().unwrap(), [Role::Host, Role::ReadSecure].into())].into());
    let upstream = "[agent]\nconnect = 'test:///default'\n[doors]\nupstream = '/run/sock'\n";
    let doors = parse(&format!("{upstream}{south}")).unwrap().doors.unwrap();
    assert_eq!(doors.upstream, Upstream::at("/run/sock".into()));
    assert_eq!(parse("[[provider]]\nid = 'south'\n").unwrap().doors, None);
}

#[test]
fn a_mistake_is_named_with_its_place() {
    for (text, says) in [
        ("[agent]\nsokcet = '/x'\n", "sokcet"),
        ("[lane]\ngather_ms = 'soon'\n", "line 2"),
        ("[[provider]]\nid = 'operator'\n", "operator"),
        ("[[provider]]\nid = 'a'\n[[provider]]\nid = 'a'\n", "two providers"),
        ("[[provider]]\nid = 'No Name'\n", "No Name"),
        ("[agent]\nsocket = 'relative'\n", "absolute"),
        ("[agent]\nbindings = 'relative'\n", "agent.bindings"),
        ("[agent]\nsocket_mode = 'rw'\n", "octal"),
        ("[hook]\ncommand = []\n", "hook.command"),
        ("[lane]\nqueue_limit = 0\n", "queue_limit"),
        ("[lane]\nmax_deferrals = 0\n", "max_deferrals"),
        ("[lane]\nescalate = [['a', 'b']]\n[[provider]]\nid = 'a'\n", "lane.escalate"),
        ("[lane]\nescalate = [['a', 'a']]\n[[provider]]\nid = 'a'\n", "lane.escalate"),
        ("[doors]\ndir = 'relative'\n", "doors.dir"),
        ("[doors]\nupstream = 'relative'\n", "doors.upstream"),
        ("[[provider]]\nid = 'a'\nroles = ['host']\n", "no door = true"),
        ("[[provider]]\nid = 'a'\ndoor = true\nroles = ['guest']\n", "guest"),
        ("[agent]\nconnect = 'test:///default'\n[[provider]]\nid = 'a'\ndoor = true\n", "doors.upstream"),
        ("[agent]\nconnect = 'qemu+ssh://b/system'\n[[provider]]\nid = 'a'\ndoor = true\n", "doors.upstream"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(says) && error.contains("covirt.toml"), "{error}");
    }
}
