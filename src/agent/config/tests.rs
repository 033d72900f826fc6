use std::collections::BTreeSet;

use super::*;
use crate::delegation::confinement::Confinement;
use crate::doors::identity::Role;

fn inspect(texts: &[(&str, &str)]) -> Inspection {
    Config::of(Path::new("covirt.toml"), &Files::of(texts), Mistakes::default())
}

fn parse(text: &str) -> Result<Config, String> {
    inspect(&[("covirt.toml", text)]).outcome.map_err(|mistakes| mistakes.to_string())
}

#[test]
fn an_empty_file_is_a_whole_configuration() {
    let config = parse("").unwrap();
    assert_eq!(config.connect, "qemu:///system");
    assert_eq!(config.directory.operator.uids, BTreeSet::from([0]));
    assert_eq!(config.socket_mode, 0o660);
    assert_eq!(config.policy, Policy::default());
    assert_eq!(config.limits, Limits::default());
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
    assert_eq!(doors.welcome.roles, [("south".parse().unwrap(), [Role::Host, Role::ReadSecure].into())].into());
    let upstream = "[agent]\nconnect = 'test:///default'\n[doors]\nupstream = '/run/sock'\n";
    let doors = parse(&format!("{upstream}{south}")).unwrap().doors.unwrap();
    assert_eq!(doors.upstream, Upstream::at("/run/sock".into()));
    assert_eq!(parse("[[provider]]\nid = 'south'\n").unwrap().doors, None);
}

#[test]
fn a_mistake_is_named_with_its_place_and_a_hint() {
    for (text, place, says) in [
        ("[agent]\nsokcet = '/x'\n", "2:1", "did you mean socket?"),
        ("[agent]\n\n  zzz = 1\n", "3:3", "[agent] has socket, socket_mode"),
        ("[agnet]\nsocket = '/x'\n", "1:2", "did you mean agent?"),
        ("[qqqqqq]\n", "1:2", "the tables are provider, agent"),
        ("[lane]\ngather_ms = 'soon'\n", "2:13", "a whole number of milliseconds, 0 or more is expected"),
        ("[lane]\ngather_ms = -1\n", "2:13", "a whole number of milliseconds, 0 or more is expected"),
        ("[lane]\ngather_for = 'write'\n", "2:14", "did you mean writes?"),
        ("[agent]\nconnect = 5\n", "2:11", "a text in quotes is expected"),
        ("[[provider]]\nid = 'a'\nmay_enroll = 'yes'\n", "3:14", "true or false is expected"),
        ("[[provider]]\nid = 'a'\nuids = 7\n", "3:8", "a list in [ ] is expected"),
        ("[[provider]]\nid = 'a'\nuids = [7, 'x']\n", "3:12", "a whole number, 0 or more is expected"),
        ("[[provider]]\nid = 'operator'\n", "2:6", "operator is the host's owner"),
        ("[[provider]]\nid = 'covirt'\n", "2:6", "covirt is the agent itself"),
        ("[[provider]]\nid = 'a'\n[[provider]]\nid = 'a'\n", "4:1", "two providers called a"),
        ("[[provider]]\nid = 'No Name'\n", "2:6", "No Name"),
        ("[[provider]]\nuids = [1]\n", "1:1", "has no id"),
        ("[provider]\nid = 'a'\n", "1:1", "[[provider]]"),
        ("socket = '/x'\n", "1:10", "below a [table]"),
        ("[agent]\nsocket = 'relative'\n", "2:10", "agent.socket: relative is no absolute path"),
        ("[agent]\nbindings = 'relative'\n", "2:12", "agent.bindings"),
        ("[agent]\nsocket_mode = 'rw'\n", "2:15", "octal"),
        ("[agent]\nsocket_owner = 'no-such-user'\n", "2:16", "this host has no user called no-such-user"),
        ("[agent]\nsocket_group = 'no-such-group'\n", "2:16", "this host has no group called no-such-group"),
        ("[agent]\nsocket_group = -1\n", "2:16", "a name in quotes or a whole number is expected"),
        ("[enrollment]\nlisten = '127.0.0.1:16516'\n", "1:2", "enrollment.names"),
        ("[enrollment]\nlisten = '16516'\n", "2:10", "enrollment.listen"),
        ("[enrollment]\nnames = ['agent:1']\n", "2:9", "neither a host's name nor an address"),
        ("[enrollment]\ncertificate_days = 0\n", "2:20", "1 to 36500 days"),
        ("[enrollment]\nauthority_days = 30\n", "1:2", "would outlive"),
        ("[enrollment]\nserver_ca = 'ca.pem'\n", "2:13", "no absolute path"),
        ("[enrollment]\ntrust_domain = 'A B'\n", "2:16", "trust domain"),
        ("[hook]\ncommand = []\n", "2:11", "hook.command"),
        ("[lane]\nqueue_limit = 0\n", "2:15", "lane.queue_limit"),
        ("[lane]\nmax_deferrals = 0\n", "2:17", "lane.max_deferrals"),
        ("[lane]\nescalate = [['a', 'b']]\n[[provider]]\nid = 'a'\n", "2:12", "lane.escalate"),
        ("[lane]\nescalate = [['a', 'a']]\n[[provider]]\nid = 'a'\n", "2:12", "lane.escalate"),
        ("[doors]\ndir = 'relative'\n", "2:7", "doors.dir"),
        ("[doors]\nupstream = 'relative'\n", "2:12", "doors.upstream"),
        ("[[provider]]\nid = 'a'\nroles = ['read-secure']\n", "3:9", "door = true"),
        ("[[provider]]\nid = 'a'\nhost_folders = ['backup']\n", "3:16", "absolute path"),
        ("[[provider]]\nid = 'a'\nhost_folders = ['/b/../etc']\n", "3:16", "absolute path"),
        ("[[provider]]\nid = 'a'\nhost_folders = ['/']\n", "3:16", "not the root"),
        ("[[provider]]\nid = 'a'\ndoor = true\nroles = ['guest']\n", "4:10", "it is one of host, read-secure"),
        ("[agent]\nconnect = 'test:///default'\n[[provider]]\nid = 'a'\ndoor = true\n", "2:11", "doors.upstream"),
        ("[log]\nfilter = '=;='\n", "2:10", "covirt=debug"),
        ("[log]\nformat = 'jsn'\n", "2:10", "did you mean json?"),
        ("[metrics]\nlisten = '9177'\n", "2:10", "socket address"),
        ("[agent\n", "1:7", "this is not TOML"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(&format!("covirt.toml:{place}: ")), "{text:?} at {place}:\n{error}");
        assert!(error.contains(says), "{text:?}: {says}\n{error}");
        assert!(error.contains("1 mistake in the configuration"), "{error}");
        assert!(error.contains("docs/configuration.md"), "{error}");
    }
}

#[test]
fn every_mistake_of_every_file_is_listed_in_order() {
    let found = inspect(&[
        ("covirt.toml", "[lane]\nqueue_limit = 0\ngathre_ms = 1\n[agent]\nsocket = 'x'\n"),
        ("conf.d/10.toml", "[agent]\nbindings = 3\n"),
        ("conf.d/20.toml", "[[provider]]\nid = 'covirt'\n"),
    ]);
    let mistakes = found.outcome.unwrap_err();
    let places: Vec<String> = mistakes.all().iter().map(|mistake| mistake.place.to_string()).collect();
    let expected =
        ["conf.d/10.toml:2:12", "conf.d/20.toml:2:6", "covirt.toml:2:15", "covirt.toml:3:1", "covirt.toml:5:10"];
    assert_eq!(places, expected);
}

#[test]
fn a_file_that_is_not_toml_has_all_its_faults_named_and_no_guesses() {
    let error = parse("[agent]\nsocket = \nconnect = \n[lane]\nwhatever = 1\n").unwrap_err();
    assert!(error.contains("covirt.toml:2:") && error.contains("covirt.toml:3:"), "{error}");
    assert!(!error.contains("whatever"), "{error}");
}

#[test]
fn the_later_file_counts_key_by_key_and_provider_by_provider() {
    let found = inspect(&[
        (
            "covirt.toml",
            "[lane]\ngather_ms = 1\nqueue_limit = 5\n[[provider]]\nid = 'north'\nuids = [1]\nmay_enroll = true\n",
        ),
        (
            "conf.d/10.toml",
            "[lane]\ngather_ms = 2\n[[provider]]\nid = 'south'\n[[provider]]\nid = 'north'\nuids = [9]\n",
        ),
        ("conf.d/20.toml", "[lane]\ngather_ms = 3\n"),
    ]);
    let from = |key: &str| {
        let shown = found.shown.iter().find(|shown| shown.key == key).unwrap();
        (shown.value.as_ref().map(ToString::to_string), shown.from.clone())
    };
    let written = |value: &str, place: &str| (Some(value.to_owned()), Some(place.to_owned()));
    assert_eq!(from("lane.gather_ms"), written("3", "conf.d/20.toml:2:13"));
    assert_eq!(from("lane.queue_limit"), written("5", "covirt.toml:3:15"));
    assert_eq!(from("provider.north.uids"), written("[9]", "conf.d/10.toml:7:8"));
    assert_eq!(from("provider.north.may_enroll"), written("true", "covirt.toml:7:14"));
    assert_eq!(from("provider.south.may_enroll"), (Some("false".to_owned()), None));
    assert_eq!(from("agent.socket_mode"), (Some("\"0660\"".to_owned()), None));
    assert_eq!(from("hook.command"), (None, None));
    let config = found.outcome.unwrap();
    let north = &config.directory.providers[&"north".parse().unwrap()];
    assert_eq!((north.0.uids.clone(), north.1), ([9].into(), crate::doors::identity::Enrolling::Yes));
    assert_eq!((config.policy.gather, config.policy.queue_limit), (Duration::from_millis(3), 5));
}

#[test]
fn the_folder_beside_the_file_is_read_in_the_order_of_names() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("conf.d")).unwrap();
    write("covirt.toml", "[lane]\ngather_ms = 1\n");
    write("conf.d/20-b.toml", "[lane]\ngather_ms = 20\n");
    write("conf.d/10-a.toml", "[lane]\ngather_ms = 10\n");
    write("conf.d/30.toml.bak", "nonsense");
    write("conf.d/.40.toml", "nonsense");
    let found = Config::inspect(&folder.path().join("covirt.toml"));
    assert_eq!(found.outcome.unwrap().policy.gather, Duration::from_millis(20));
    assert_eq!(found.files.len(), 3);
    std::fs::remove_file(folder.path().join("covirt.toml")).unwrap();
    let error = Config::read(&folder.path().join("covirt.toml")).unwrap_err().to_string();
    assert!(error.contains("covirt.toml: it cannot be read: No such file"), "{error}");
}

#[test]
fn what_is_shown_is_a_configuration_that_means_the_same() {
    let text = "[agent]\nsocket = '/x'\n[lane]\nescalate = [['a', 'b']]\n[[provider]]\nid = 'a'\n[[provider]]\nid = 'b'\nstanding = 'mine-first'\n";
    let found = inspect(&[("covirt.toml", text)]);
    let mut again = toml::Table::new();
    for Shown { key, value, .. } in found.shown {
        let Some((name, value)) = value.map(|value| (key.rsplit_once('.').unwrap(), value)) else { continue };
        let table = match name.0.split_once('.') {
            Some((list, id)) => {
                let list = again.entry(list).or_insert_with(|| toml::Value::Array(Vec::new())).as_array_mut().unwrap();
                let is = |one: &toml::Value| one.get("id").and_then(toml::Value::as_str) == Some(id);
                let at = list.iter().position(is).unwrap_or_else(|| {
                    list.push(toml::Value::Table(toml::Table::new()));
                    list.len() - 1
                });
                list[at].as_table_mut().unwrap()
            }
            None => again.entry(name.0).or_insert_with(|| toml::Table::new().into()).as_table_mut().unwrap(),
        };
        table.insert(name.1.to_owned(), value);
    }
    assert_eq!(parse(&toml::to_string(&again).unwrap()).unwrap(), parse(text).unwrap());
}

#[test]
fn every_key_is_documented_and_every_documented_key_exists() {
    let text = include_str!("../../../docs/configuration.md");
    let rows = text.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1));
    let documented: BTreeSet<String> =
        rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect();
    let known: BTreeSet<String> = keys().into_iter().collect();
    let missing: Vec<_> = known.difference(&documented).collect();
    let stale: Vec<_> = documented.difference(&known).collect();
    assert!(missing.is_empty() && stale.is_empty(), "not documented: {missing:?}; not in the code: {stale:?}");
}

#[test]
fn a_provider_reaches_its_vms_and_what_is_listed_unless_it_has_the_hosts_role() {
    let text = "[[provider]]\nid = 'south'\nhost_folders = ['/backup/south/']\nnetworks = ['tenant']\n\
                [[provider]]\nid = 'north'\nroles = ['host']\n";
    let reaches = parse(text).unwrap().reaches;
    let confined = Confinement { folders: ["/backup/south".to_owned()].into(), networks: ["tenant".to_owned()].into() };
    assert_eq!(reaches.get(&"south".parse().unwrap()), Some(&Reach::Confined(confined)));
    assert_eq!(reaches.get(&"north".parse().unwrap()), Some(&Reach::Host));
}

#[test]
fn a_peers_connections_are_bounded_and_not_to_none() {
    assert_eq!(parse("[limits]\nconnections_per_peer = 3\n").unwrap().limits.connections, 3);
    let mistakes = parse("[limits]\nconnections_per_peer = 0\n").unwrap_err().to_string();
    assert!(mistakes.contains("limits.connections_per_peer"), "{mistakes}");
}

#[test]
fn tls_has_its_ports_files_and_bounds_and_says_what_is_missing() {
    let key = format!("sha256:{}", "0a".repeat(32));
    let files = "certificate = '/a.pem'\nkey = '/a.key'\nclient_ca = '/ca.pem'\ntrust_domain = 'example.org'\n";
    let text = format!(
        "[operator]\nkeys = ['{key}']\n[[provider]]\nid = 'south'\nkeys = ['{key}']\nuris = ['spiffe://b/c']\n\
         [tls]\nlisten = '[::1]:16515'\nrevoked_keys = ['{key}']\nconnections_max = 7\n{files}"
    );
    let Config { tls, directory, .. } = parse(&text).unwrap();
    let tls = tls.unwrap();
    assert_eq!((tls.listen, tls.libvirt_listen), (Some("[::1]:16515".parse().unwrap()), None));
    assert_eq!((tls.limits.connections, tls.limits.connections_per_address), (7, 128));
    assert_eq!(tls.files.crl, None);
    let (peers, _) = &directory.providers[&"south".parse().unwrap()];
    assert_eq!((peers.keys.len(), peers.uris.len(), directory.operator.keys.len()), (1, 1, 1));
    assert_eq!((directory.revoked.len(), directory.trust_domain.is_some()), (1, true));
    assert_eq!(parse("[tls]\ncertificate = '/a.pem'\n").unwrap().tls, None, "without a port nothing is served");
    let listen = "[tls]\nlisten = '127.0.0.1:1'\n";
    for (text, says) in [
        (format!("{listen}key = '/a.key'\n"), "tls.certificate"),
        (format!("{listen}certificate = '/a.pem'\n"), "tls.key"),
        (format!("{listen}{files}crl = 'a.pem'\n"), "a.pem is no absolute path"),
        (format!("{listen}certificate = '/a'\nkey = '/a'\ncrl = '/a'\n"), "tls.crl"),
        (format!("{listen}certificate = '/a'\nkey = '/a'\ntrust_domain = 'a'\n"), "tls.trust_domain"),
        (format!("{listen}{files}requests_per_second = 0\n"), "it is at least 1"),
        (format!("[tls]\nlibvirt_listen = '127.0.0.1:1'\n{files}"), "door = true gives a provider one"),
        ("[enrollment]\nlisten = '127.0.0.1:2'\nnames = ['a.example']\ndoor = true\n".to_owned(), "enrollment.door"),
        ("[tls]\nlisten = 'everywhere'\n".to_owned(), "tls.listen"),
        ("[[provider]]\nid = 'south'\nkeys = ['md5:00']\n".to_owned(), "64 hexadecimal digits"),
        ("[[provider]]\nid = 'south'\nuris = ['https://a/b']\n".to_owned(), "spiffe://TRUST-DOMAIN/PATH"),
    ] {
        let said = parse(&text).unwrap_err();
        assert!(said.contains(says), "{text}: {said}");
    }
}

#[test]
fn who_enrolls_needs_no_certificate_of_its_own() {
    let text =
        "[tls]\nlisten = '127.0.0.1:16515'\n[enrollment]\nlisten = '127.0.0.1:16516'\nnames = ['b.example', '::1']\n";
    let config = parse(text).unwrap();
    let (tls, enrollment) = (config.tls.unwrap(), config.enrollment.unwrap());
    assert_eq!(tls.files.certificate, Path::new("/var/lib/covirt/ca/server.pem"));
    assert_eq!(tls.files.key, Path::new("/var/lib/covirt/ca/server.key"));
    assert_eq!(tls.files.client_ca.as_deref(), Some(Path::new("/var/lib/covirt/ca/ca.pem")));
    assert_eq!(tls.files.crl.as_deref(), Some(Path::new("/var/lib/covirt/ca/crl.pem")));
    assert_eq!(enrollment.endpoint, "[::1]:16516");
    // What is named is not replaced, and half of a pair is none.
    let own = "[tls]\nlisten = '127.0.0.1:1'\nclient_ca = '/c.pem'\ncertificate = '/a.pem'\nkey = '/a.key'\n";
    let tls = parse(&format!("{own}[enrollment]\nlisten = '127.0.0.1:2'\nnames = ['b']\n")).unwrap().tls.unwrap();
    assert_eq!((tls.files.certificate.as_path(), tls.files.crl), (Path::new("/a.pem"), None));
    let half = text.replacen("[tls]\n", "[tls]\ncertificate = '/a.pem'\n", 1);
    assert!(parse(&half).unwrap_err().contains("tls.key"));
}

#[test]
fn the_sockets_owner_is_named_or_numbered() {
    let owner = |text: &str| parse(&format!("[agent]\n{text}\n")).unwrap().socket_owner;
    assert_eq!(owner(""), SocketOwner::default());
    assert_eq!(owner("socket_owner = 7\nsocket_group = 'root'"), SocketOwner { uid: Some(7), gid: Some(0) });
    assert_eq!(owner("socket_owner = 'root'"), SocketOwner { uid: Some(0), gid: None });
}

#[test]
fn who_joins_has_a_door_where_the_configuration_says_so() {
    let text = "[agent]\nconnect = 'qemu:///system?socket=/run/libvirt-sock'\n[[provider]]\nid = 'north'\n\
                [tls]\nlibvirt_listen = '127.0.0.1:1'\n\
                [enrollment]\nlisten = '127.0.0.1:2'\nnames = ['a.example']\n";
    let doors = parse(&format!("{text}door = true\n")).unwrap().doors.unwrap();
    let but = ["north".parse().unwrap()].into();
    assert_eq!(doors.welcome, Welcome { roles: BTreeMap::new(), joined: JoinedClients::Admitted { but } });
    assert!(parse(text).unwrap_err().contains("there is none"), "the port is for nobody then");
}
