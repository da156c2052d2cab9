"""The three kinds of users, what each may do, which events it sees, and what the server counts meanwhile."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytest_asyncio

from address_space.model import Outcome
from node.clock import RealClock
from node.roles import Role
from node.server.security.certificate import Identity
from node.server.security.pki import OwnCertificate, Pki
from node.server.security.users import UserStore
from tests.e2e.foreign_client import ForeignError
from tests.e2e.foreign_scene import PASSWORDS, Scene, foreign_scene, site_node

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

NONE = {"policy": "None", "mode": "None"}
POLICIES = ("Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss")
READS, CALLS, WRITES = {"reads"}, {"reads", "calls"}, {"reads", "calls", "writes"}
ALLOWED = {"observer": READS, "operator": CALLS, "engineer": WRITES, "keeper": WRITES}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with foreign_scene(tmp_path_factory.mktemp("users"), anonymous=True) as scene:
        yield scene


class Cards:
    """Certificates of users, made when they are needed."""

    def __init__(self, scene: Scene, folder: Path) -> None:
        self.scene = scene
        self.folder = folder
        self.users = UserStore(scene.folder / "state" / "users.json")
        self.made: dict[str, OwnCertificate] = {}

    def of(self, name: str) -> OwnCertificate:
        if name not in self.made:
            pki = Pki(self.folder / name, RealClock())
            self.made[name] = pki.ensure_own(Identity("urn:user", ("localhost",), common_name=name))
        return self.made[name]

    def give(self, user: str, name: str) -> None:
        """Let a user log in with a certificate, as `gridnode user cert` does."""
        certificate = self.of(name).certificate
        self.users.add_certificate(user, certificate.thumbprint)
        self.scene.app.pki.user_trust.add(certificate.der)

    def way(self, name: str, key: str | None = None, **how: Any) -> dict[str, Any]:
        """How to log in with a certificate, signed with its own key or that of another."""
        shown, signing = self.of(name), self.of(key or name)
        return self.scene.way(certificate=str(shown.certificate_path), private_key=str(signing.key_path), **how)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cards(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Cards:
    cards = Cards(scene, tmp_path_factory.mktemp("cards"))
    for user in ("operator", "engineer"):
        cards.give(user, f"card-of-{user}")
    return cards


async def log_in(scene: Scene, **way: Any) -> None:
    await scene.foreign.do("connect", name="one", **way)


async def log_out(scene: Scene) -> None:
    await scene.foreign.do("disconnect", name="one")


async def refusal(scene: Scene, command: str = "connect", **way: Any) -> str:
    """Status of a login that must fail."""
    with pytest.raises(ForeignError) as caught:
        await scene.foreign.do(command, **({"name": "refused"} if command == "connect" else {}), **way)
    return caught.value.status


async def rights(scene: Scene, user: str) -> set[str]:
    """What a session may do, tried out; what it may not do must be refused for that reason."""
    found = set()
    (value,) = await scene.read("xw1.ac_power", user=user)
    found |= {"reads"} if value["status"] == "Good" else set()
    called = await scene.call("xw1.SetLoadShave", ("Boolean", True), ("Double", 20), user=user)
    written = await scene.write("xw1.max_charge_rate", 70, user=user)
    for name, status in (("calls", called["status"]), ("writes", written)):
        assert status in ("Good", "BadUserAccessDenied"), (name, status)
        found |= {name} if status == "Good" else set()
    return found


# --- anonymous


@pytest.mark.parametrize("channel", [NONE, {}], ids=["None", "SignAndEncrypt"])
async def test_anonymous_user_only_looks(scene: Scene, channel: dict[str, str]) -> None:
    await log_in(scene, **scene.way(**channel))
    assert await rights(scene, "one") == READS
    (may,) = await scene.read("xw1.Standby", attribute="UserExecutable", user="one")
    (access,) = await scene.read("xw1.max_charge_rate", attribute="UserAccessLevel", user="one")
    assert (may["value"], access["value"]) == (False, 1)
    await log_out(scene)


# --- name and password


@pytest.mark.parametrize("user", PASSWORDS)
async def test_user_with_a_password_has_the_rights_of_its_role(scene: Scene, user: str) -> None:
    await log_in(scene, **scene.way(user))
    assert await rights(scene, "one") == ALLOWED[user]
    await log_out(scene)


@pytest.mark.parametrize("user", ["observer", "keeper"])
async def test_wrong_password_is_refused_for_every_role(scene: Scene, user: str) -> None:
    wrong = scene.way(user) | {"password": PASSWORDS["engineer"]}
    assert await refusal(scene, **wrong) == "BadUserAccessDenied"
    await log_in(scene, **scene.way(user))  # the right one is not held up
    await log_out(scene)


# --- certificates


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("user", ["operator", "engineer"])
async def test_user_with_a_certificate_has_the_rights_of_its_role(
    scene: Scene, cards: Cards, user: str, policy: str
) -> None:
    await log_in(scene, **cards.way(f"card-of-{user}", policy=policy))
    assert await rights(scene, "one") == ALLOWED[user]
    last = await scene.last_command("xw1")
    assert last["user"] == user
    await log_out(scene)


async def test_wrong_certificates_are_refused(scene: Scene, cards: Cards) -> None:
    assert await refusal(scene, **cards.way("stranger")) == "BadIdentityTokenRejected"
    scene.app.pki.user_trust.add(cards.of("nobody").certificate.der)
    assert await refusal(scene, **cards.way("nobody")) == "BadUserAccessDenied"  # trusted, and no user's
    stolen = cards.way("card-of-operator", key="stranger")
    assert await refusal(scene, **stolen) == "BadUserSignatureInvalid"


async def test_certificate_that_was_taken_back_is_refused(scene: Scene, cards: Cards) -> None:
    cards.users.add("guest", "comes-and-goes", Role.OPERATOR)
    cards.give("guest", "card-of-guest")
    way = cards.way("card-of-guest")
    await log_in(scene, **way)
    await log_out(scene)
    (thumbprint,) = cards.users.clear_certificates("guest")
    assert await refusal(scene, **way) == "BadUserAccessDenied"
    scene.app.pki.user_trust.revoke(thumbprint)
    assert await refusal(scene, **way) == "BadIdentityTokenRejected"


# --- another user in the same session


async def test_session_has_the_rights_of_whoever_logged_in_last(scene: Scene, cards: Cards) -> None:
    await log_in(scene, **scene.way("observer"))
    session = (await scene.foreign.do("happened", name="one"))["session"]
    operator = cards.way("card-of-operator")
    for way, allowed in ((scene.way("engineer"), WRITES), (operator, CALLS), (scene.way("observer"), READS)):
        assert await scene.foreign.do("change_user", name="one", **way) == "Good"
        assert await rights(scene, "one") == allowed
    assert (await scene.foreign.do("happened", name="one"))["session"] == session
    await log_out(scene)


async def test_session_keeps_its_user_when_another_is_refused(scene: Scene) -> None:
    await log_in(scene, **scene.way("operator"))
    wrong = scene.way("engineer") | {"password": "not-the-password"}
    assert await scene.foreign.do("change_user", name="one", **wrong) == "BadUserAccessDenied"
    assert await rights(scene, "one") == CALLS
    assert await scene.foreign.do("change_user", name="one", **scene.way("engineer")) == "Good"
    await log_out(scene)


# --- events: who is told what

SERVER, CONDITION_TYPE, REFRESH = "i=2253", "i=2782", "i=3875"
BASE_EVENT, AUDIT, AUDIT_SESSION, AUDIT_METHOD, AUDIT_WRITE = "i=2041", "i=2052", "i=2069", "i=2127", "i=2100"
REFRESH_START, REFRESH_END = "ns=0;i=2787", "ns=0;i=2788"
COMMAND_EVENT = "ns=3;s=CommandEventType"
FIELDS = ("EventType", "SourceName", "SourceNode", "Message", "Severity", "EventId", "Time")


class Listening:
    """An event item on the Server object; events come as dictionaries of their fields."""

    names: ClassVar = itertools.count()

    def __init__(self, scene: Scene, user: str, fields: tuple[str, ...]) -> None:
        self.scene = scene
        self.user = user
        self.fields = fields
        self.name = f"events {next(self.names)}"
        self.number = 0

    @classmethod
    async def start(
        cls, scene: Scene, user: str, *more: str, of_type: str | None = None, node: str = SERVER
    ) -> "Listening":
        listening = cls(scene, user, (*FIELDS, *more))
        given = {"name": user, "subscription": listening.name}
        listening.number = (await scene.foreign.do("subscribe", **given))["id"]
        wanted = {"fields": listening.fields} | ({} if of_type is None else {"of_type": of_type})
        item = await scene.foreign.do("watch", **given, item="events", node=node, events=wanted)
        assert item["status"] == "Good"
        return listening

    async def so_far(self) -> list[dict[str, Any]]:
        """All events until now; a refresh marks where now is."""
        result = await self.scene.foreign.do(
            "call", name=self.user, object=CONDITION_TYPE, method=REFRESH, inputs=[("UInt32", self.number)]
        )
        assert result["status"] == "Good"
        events: list[dict[str, Any]] = []
        changes = self.scene.foreign.changes(self.name)
        async with asyncio.timeout(15):
            while True:
                told = await changes.get()
                event = dict(zip(self.fields, told["fields"], strict=True))
                if event["EventType"] == REFRESH_END:
                    return events
                if event["EventType"] != REFRESH_START:
                    events.append(event)

    async def end(self) -> None:
        await self.scene.foreign.do("unsubscribe", name=self.user, subscription=self.name)


async def test_events_of_commands_are_told_to_operators_and_audits_to_administrators(scene: Scene) -> None:
    more = ("3:Command", "3:Outcome", "3:User", "ClientUserId", "MethodId", "InputArguments")
    listening = [await Listening.start(scene, user, *more) for user in ("observer", "operator", "keeper")]
    assert (await scene.call("xw1.SetLoadShave", ("Boolean", True), ("Double", 21), user="engineer"))[
        "status"
    ] == "Good"
    observed, operated, kept = [await each.so_far() for each in listening]
    for each in listening:
        await each.end()
    assert observed == []
    (command,) = operated
    assert (command["EventType"], command["SourceNode"]) == (COMMAND_EVENT, site_node("xw1"))
    assert (command["3:Command"], command["3:Outcome"], command["3:User"]) == (
        "SetLoadShave",
        Outcome.CONFIRMED,
        "engineer",
    )
    assert command["Message"]
    assert 1 <= command["Severity"] <= 1000
    assert command["ClientUserId"] is None  # it has no such field
    assert [each["EventType"] for each in kept if each["EventType"] == COMMAND_EVENT] == [COMMAND_EVENT]
    audits = [each for each in kept if each["EventType"] == f"ns=0;{AUDIT_METHOD}"]
    (audit,) = (each for each in audits if each["MethodId"] == site_node("xw1.SetLoadShave"))  # others refresh
    assert audit["ClientUserId"] == "engineer"
    assert audit["InputArguments"] == [True, 21]
    ids = [each["EventId"] for each in kept]
    assert len(set(ids)) == len(ids)


async def test_where_clause_lets_only_a_type_and_its_subtypes_through(scene: Scene) -> None:
    listening = await Listening.start(scene, "keeper", "ClientUserId", "Status", of_type=AUDIT_SESSION)
    assert await scene.write("xw1.max_charge_rate", 71) == "Good"
    await log_in(scene, **scene.way("operator"))
    await log_out(scene)
    events = await listening.so_far()
    await listening.end()
    # AuditCreateSession, AuditActivateSession, and AuditSession for the end (OPC 10000-5 sections 6.4.7 to 6.4.10).
    assert [each["EventType"] for each in events] == ["ns=0;i=2071", "ns=0;i=2075", "ns=0;i=2069"]
    assert [each["ClientUserId"] for each in events[1:]] == ["operator"] * 2
    assert [each["Status"] for each in events] == [True] * 3


async def test_refused_login_is_audited_without_its_name(scene: Scene) -> None:
    listening = await Listening.start(scene, "keeper", "ClientUserId", "Status", of_type="i=2075")
    wrong = scene.way("operator") | {"password": "not-the-password"}
    assert await refusal(scene, **wrong) == "BadUserAccessDenied"
    await log_in(scene, **scene.way("operator"))
    await log_out(scene)
    refused, let_in = await listening.so_far()
    await listening.end()
    assert (refused["Status"], let_in["Status"]) == (False, True)
    assert "operator" not in (refused["ClientUserId"] or "", refused["Message"])
    assert "not-the-password" not in str(refused)


async def test_written_setting_is_audited_with_both_values(scene: Scene) -> None:
    assert await scene.write("xw1.max_charge_rate", 72) == "Good"
    listening = await Listening.start(scene, "keeper", "OldValue", "NewValue", "ClientUserId", of_type=AUDIT_WRITE)
    assert await scene.write("xw1.max_charge_rate", 73) == "Good"
    (event,) = await listening.so_far()
    await listening.end()
    assert (event["OldValue"], event["NewValue"], event["ClientUserId"]) == (72, 73, "engineer")
    assert event["SourceNode"] == site_node("xw1.max_charge_rate")


async def test_events_of_one_device_come_from_its_own_node(scene: Scene) -> None:
    listening = await Listening.start(scene, "operator", "3:Command", node=site_node("fc1"))
    assert (await scene.call("xw1.SetLoadShave", ("Boolean", True), ("Double", 22)))["status"] == "Good"
    assert await listening.so_far() == []
    await listening.end()


async def test_filters_of_events_are_checked(scene: Scene) -> None:
    def select(name: str, of_type: str = BASE_EVENT, attribute: int = 13) -> dict[str, Any]:
        path = [{"name": name, "namespaceIndex": 0}]
        return {
            "$": "SimpleAttributeOperand",
            "typeDefinitionId": of_type,
            "browsePath": path,
            "attributeId": attribute,
        }

    # The library ends itself over events of items that it has not made, so it does not publish for this one.
    made = await scene.ask("CreateSubscription", "keeper", requestedPublishingInterval=1000)
    item = {
        "itemToMonitor": {"nodeId": SERVER, "attributeId": 12},
        "monitoringMode": 2,
        "requestedParameters": {"clientHandle": 7, "samplingInterval": 0, "queueSize": 10},
    }

    async def create(filter_: dict[str, Any] | None) -> dict[str, Any]:
        item["requestedParameters"] |= {"filter": filter_}  # type: ignore[operator]
        given = await scene.ask(
            "CreateMonitoredItems",
            "keeper",
            subscriptionId=made["subscriptionId"],
            timestampsToReturn="Both",
            itemsToCreate=[item],
        )
        result: dict[str, Any] = given["results"][0]
        return result

    unknown = await create(
        {
            "$": "EventFilter",
            "selectClauses": [select("Message"), select("NoSuchField", AUDIT), select("Message", "i=1")],
        }
    )
    assert unknown["filterResult"]["selectClauseResults"][0] == "Good"
    assert "Good" not in unknown["filterResult"]["selectClauseResults"][1:]
    no_type = {"$": "Variant", "type": "NodeId", "value": "i=85"}  # an object
    operand = {"$": "LiteralOperand", "value": no_type}
    where = {"elements": [{"filterOperator": "OfType", "filterOperands": [operand]}]}
    bad = await create({"$": "EventFilter", "selectClauses": [select("Message")], "whereClause": where})
    assert bad["statusCode"] != "Good"
    assert bad["filterResult"]["whereClauseResult"]["elementResults"][0]["statusCode"] != "Good"
    assert (await create({"$": "EventFilter"}))["statusCode"] == "BadEventFilterInvalid"
    assert (await create({"$": "DataChangeFilter", "trigger": 1}))["statusCode"] == "BadFilterNotAllowed"
    await scene.ask("DeleteSubscriptions", "keeper", subscriptionIds=[made["subscriptionId"]])


# --- diagnostics

SUMMARY, SESSIONS, SUBSCRIPTIONS = "i=2275", "i=3707", "i=2290"


async def summary(scene: Scene) -> dict[str, int]:
    """ServerDiagnosticsSummary, and the same again from its components."""
    (whole,) = await scene.foreign.do("read", name="observer", nodes=[SUMMARY])
    counts = {name: count for name, count in whole["value"].items() if name != "structure"}
    assert whole["value"]["structure"] == "ServerDiagnosticsSummaryDataType"
    return counts


def growth(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """What has changed, and by how much."""
    return {name: after[name] - before[name] for name in before if after[name] != before[name]}


async def test_sessions_and_subscriptions_are_counted(scene: Scene) -> None:
    at_first = await summary(scene)
    await log_in(scene, **scene.way("operator"))
    with_session = await summary(scene)
    assert growth(at_first, with_session) == {"currentSessionCount": 1, "cumulatedSessionCount": 1}
    for number, interval in enumerate((730, 730, 740)):
        await scene.foreign.do("subscribe", name="one", subscription=f"{number}", publishing_ms=interval)
    with_subscriptions = await summary(scene)
    assert growth(with_session, with_subscriptions) == {
        "currentSubscriptionCount": 3,
        "cumulatedSubscriptionCount": 3,
        "publishingIntervalCount": 2,
    }
    await scene.foreign.do("unsubscribe", name="one", subscription="0")
    fewer = await summary(scene)
    assert growth(with_subscriptions, fewer) == {"currentSubscriptionCount": -1}
    await log_out(scene)  # and its subscriptions with it
    assert growth(at_first, await summary(scene)) == {"cumulatedSessionCount": 1, "cumulatedSubscriptionCount": 3}


async def test_refusals_are_counted(scene: Scene) -> None:
    at_first = await summary(scene)
    assert await scene.fault("Read", nodesToRead=[], timestampsToReturn="Both") == "BadNothingToDo"
    with_fault = await summary(scene)
    assert growth(at_first, with_fault) == {"rejectedRequestsCount": 1}
    wrong = scene.way("operator") | {"password": "not-the-password"}
    assert await refusal(scene, **wrong) == "BadUserAccessDenied"
    refused = growth(with_fault, await summary(scene))
    await log_in(scene, **scene.way("operator"))  # so that the failure is forgotten
    await log_out(scene)
    assert refused == {
        "cumulatedSessionCount": 1,  # it was made, and ended when nobody was let in
        "rejectedSessionCount": 1,
        "securityRejectedSessionCount": 1,
        "rejectedRequestsCount": 1,
        "securityRejectedRequestsCount": 1,
    }


async def test_components_are_the_summary(scene: Scene) -> None:
    whole = await summary(scene)
    ((*ends,),) = await scene.foreign.do("browse", name="observer", nodes=[SUMMARY], type="i=47")
    nodes = [end for _, end in ends]
    names = await scene.foreign.do("read", name="observer", nodes=nodes, attribute="BrowseName")
    values = await scene.foreign.do("read", name="observer", nodes=nodes)
    found = {name["value"].removeprefix("0:"): value["value"] for name, value in zip(names, values, strict=True)}
    assert {name[0].lower() + name[1:]: value for name, value in found.items()} == whole


async def test_rows_of_a_session_and_its_subscription_count_what_they_did(scene: Scene) -> None:
    await log_in(scene, **scene.way("operator"))
    made = await scene.foreign.do(
        "subscribe", name="one", subscription="counted", nodes=[site_node("xw1.ac_power"), site_node("fc1.state")]
    )
    for _ in range(3):
        await scene.read("xw1.ac_power", user="one")
    session_id = (await scene.foreign.do("happened", name="one"))["session"]
    (sessions,), (subscriptions,) = [
        await scene.foreign.do("read", name="keeper", nodes=[node]) for node in (SESSIONS, SUBSCRIPTIONS)
    ]
    (row,) = (row for row in sessions["value"] if row["sessionId"] == session_id)
    assert (row["currentSubscriptionsCount"], row["currentMonitoredItemsCount"]) == (1, 2)
    assert row["readCount"]["totalCount"] == 3
    assert row["createSubscriptionCount"]["totalCount"] == 1
    assert row["clientDescription"]["applicationName"] == "foreign"
    (row,) = (row for row in subscriptions["value"] if row["subscriptionId"] == made["id"])
    assert (row["sessionId"], row["monitoredItemCount"], row["publishingEnabled"]) == (session_id, 2, True)
    await log_out(scene)
    (sessions,) = await scene.foreign.do("read", name="keeper", nodes=[SESSIONS])
    assert session_id not in {row["sessionId"] for row in sessions["value"]}
