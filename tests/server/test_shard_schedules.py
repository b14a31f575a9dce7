"""Whatever happens to workers and messages, a shard applies every push once, and lets nobody be too stale or wait for nothing."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dsgd.server.events import Again, Join, Leave, Pull, Push, Refused, Weights
from dsgd.server.policy import Policy

from .crews import ROOM, Member, Request, flag, kept, new_shard, revived

WORKERS = 3
numbers = st.integers(0, WORKERS - 1)


class Schedules(RuleBasedStateMachine):
    """Members and a shard, and what ought to have become of every push."""

    policy = Policy()

    def __init__(self):
        super().__init__()
        self.shard = new_shard(self.policy)
        self.members = [Member(number, self.policy.together) for number in range(WORKERS)]
        self.pushes = 0
        # Those that have reached the shard: the number of each, by worker and clock; of these, those that it dropped.
        self.reached: dict[tuple[int, int], int] = {}
        self.dropped: set[int] = set()
        # As the shard knows them: who takes part, with the number of the next push; and the latest attempts.
        self.active: dict[int, int] = {}
        self.attempts: dict[int, int] = {}
        # Whose last push was dropped: the next answer tells them where the others are.
        self.late: set[int] = set()
        self.version = 0
        self.kept = self.now()

    def now(self):
        """What a shard that comes back from the present state knows; pushes that wait for their step are lost."""
        done = self.applied() | self.dropped
        reached = {key: number for key, number in self.reached.items() if number in done}
        return kept(self.shard), reached, set(self.dropped), dict(self.attempts)

    def applied(self) -> set[int]:
        values = self.shard.weights.values(None)
        assert set(values.tolist()) <= {0.0, -1.0}, "a push has been applied twice"
        return set((values < 0).nonzero()[0].tolist())

    # ---- the way to the shard and back

    def send(self, member: Member, request: Request):
        member.unanswered.append(request)
        if member.connected:
            self.deliver(member, member.events(request))

    def deliver(self, member: Member, events):
        for event in events:
            self.hand_over(event)
            if isinstance(event, Leave):
                member.unanswered.popleft()
                member.takes_part = False

    def hand_over(self, event):
        """Let the shard handle an event of an attempt that is not too old, and see what comes of it."""
        worker = event.worker
        if self.attempts.get(worker, -1) < event.attempt:
            self.attempts[worker] = event.attempt
            self.gone(worker)
        counted = self.shard.dropped, self.shard.repeated
        answers = self.shard.handle(event)
        if isinstance(event, Leave):
            self.gone(worker)
        elif isinstance(event, Join):
            self.active[worker] = next(answer.clock for answer in answers if answer[:2] == (worker, event.attempt))
        elif isinstance(event, Push):
            self.count(event, counted)
        elif isinstance(event, Pull) and worker in self.active:
            # It is about to compute this push, or, where weights are asked for ahead, the one before.
            self.active[worker] = max(self.active[worker], event.clock - (0 if self.policy.together else 1))
        assert self.shard.version >= self.version
        self.version = self.shard.version
        for answer in answers:
            self.bring(answer)

    def gone(self, worker: int):
        self.active.pop(worker, None)
        self.late.discard(worker)

    def count(self, event: Push, before: tuple[int, int]):
        number, key = int(event.pushed.indices[0]), (event.worker, event.clock)
        new = key not in self.reached
        assert new or self.reached[key] == number, "a number has been given to two pushes"
        assert self.shard.repeated - before[1] == (not new)
        if new:
            self.reached[key] = number
            self.active[event.worker] = max(self.active.get(event.worker, 0), event.clock + 1)
        if self.shard.dropped > before[0]:
            assert new
            assert self.policy.together
            assert number not in self.applied()
            self.dropped.add(number)
            self.late.add(event.worker)

    def bring(self, answer):
        member = self.members[answer.worker]
        if isinstance(answer, Weights):
            if answer.worker in self.late:
                self.late.remove(answer.worker)
                self.active[answer.worker] = answer.clock
            self.check_staleness(answer)
        if answer.attempt == member.attempt and member.connected:
            member.hear(answer)

    def check_staleness(self, answer: Weights):
        behind = [
            number
            for number, clock in self.active.items()
            if number not in self.late | {answer.worker} and clock < answer.clock - (self.policy.staleness or 0)
        ]
        if self.policy.staleness is not None:
            assert len(behind) <= self.policy.backup_workers
        own = {n for (worker, clock), n in self.reached.items() if worker == answer.worker and clock < answer.clock}
        assert own - self.dropped <= set((answer.values < 0).nonzero()[0].tolist()), "it does not see its own pushes"

    # ---- what can happen

    @initialize(order=st.permutations(range(WORKERS)), absent=numbers)
    def all_but_one_begin(self, order, absent):
        for number in order:
            if number != absent:
                self.begin(self.members[number])

    @rule(order=st.lists(numbers, min_size=1, max_size=10))
    def work(self, order):
        """Workers go on, in some order: they begin a lot, or take a step."""
        for number in order:
            self.begin(self.members[number])
            self.step(self.members[number], last=False)

    def begin(self, member: Member):
        if not member.takes_part and not member.unanswered:
            self.send(member, Request(joins=True))
        if member.takes_part and not member.unanswered and not member.ready:
            for request in member.beginning():
                self.send(member, request)

    @rule(number=numbers, leaves=st.booleans())
    def end(self, number, leaves):
        """A worker makes the last pushes of its lot, and may have no other."""
        member = self.members[number]
        if member.connected and len(member.ready) == len(member.beginning()):
            while member.ready:
                self.step(member, last=True)
        if leaves and member.takes_part and not member.unanswered and not member.ready:
            self.send(member, Request())

    def step(self, member: Member, last: bool):
        if member.ready and self.pushes < ROOM:
            self.pushes += 1
            self.send(member, member.step(self.pushes - 1, last))

    @rule(number=numbers)
    def look(self, number):
        """A worker pulls between two lots, whether it takes part or not."""
        member = self.members[number]
        if not member.unanswered and not member.ready:
            self.send(member, Request(wanted=member.clock, looks=True))

    @rule(number=numbers)
    def cut(self, number):
        self.members[number].connected = False

    @rule(number=numbers)
    def connect(self, number):
        """A connection is made anew, whether the old one has been missed or not; all that is unanswered is said again."""
        member = self.members[number]
        member.connected = True
        # While it speaks, nobody listens to what answers its requests of before.
        requests, member.unanswered = list(member.unanswered), type(member.unanswered)()
        self.hand_over(Again(*member.who))
        for request in requests:
            self.send(member, request)

    @rule(number=numbers, told=st.booleans(), speaks=st.booleans())
    def die(self, number, told, speaks):
        """A worker is started again; the shard may have been told that it is gone, and may not hear of it soon."""
        member = self.members[number]
        if told and self.attempts.get(number, 0) <= member.attempt:
            self.hand_over(Leave(*member.who))
        member.reborn()
        if speaks:
            self.begin(member)

    @rule(number=numbers)
    def give_up(self, number):
        """The lead takes a worker for lost that only was slow."""
        member = self.members[number]
        if self.attempts.get(number, 0) <= member.attempt:
            self.hand_over(Leave(*member.who))

    @precondition(lambda self: any(attempt for attempt in self.attempts.values()))
    @rule(number=numbers, kind=st.sampled_from([Join, Leave, Again, Push, Pull]))
    def speak_from_the_past(self, number, kind):
        """An attempt that has been overtaken is refused, and changes nothing."""
        latest = self.attempts.get(number, 0)
        if latest == 0:
            return
        more = {Push: (10**6, 0, flag(ROOM)), Pull: (0, None)}.get(kind, ())
        before = kept(self.shard), self.shard.waiting()
        assert self.shard.handle(kind(number, latest - 1, *more)) == [Refused(number, latest - 1, latest)]
        assert (kept(self.shard), self.shard.waiting()) == before

    @rule()
    def keep(self):
        self.kept = self.now()

    @rule()
    def restart(self):
        """The shard dies, and comes back as it was when it was kept."""
        snapshot, reached, dropped, attempts = self.kept
        self.shard = revived(self.shard, snapshot, self.policy)
        self.reached, self.dropped, self.attempts = dict(reached), set(dropped), dict(attempts)
        self.active, self.late, self.version = {}, set(), self.shard.version
        for member in self.members:
            member.connected = False
        for number in range(WORKERS):
            self.connect(number)

    # ---- what must be so

    @invariant()
    def every_push_that_has_arrived_is_applied_or_waits_or_was_dropped(self):
        applied, arrived = self.applied(), set(self.reached.values())
        assert applied <= arrived
        assert not applied & self.dropped
        assert self.shard.staleness.sum() == len(applied)
        assert self.shard.dropped == len(self.dropped)
        if not self.policy.together:
            assert applied == arrived
            assert self.shard.version == len(applied)

    @invariant()
    def nobody_waits_without_a_reason(self):
        for member in self.members:
            if member.connected and member.unanswered:
                wanted = member.unanswered[0].wanted
                assert wanted is not None, "joining and leaving are answered at once"
                behind = [
                    clock
                    for number, clock in self.active.items()
                    if number != member.number and clock < wanted - (self.policy.staleness or 0)
                ]
                assert behind
                assert self.policy.staleness is not None

    def teardown(self):
        """From whatever has come to pass all can go on, and in the end nothing waits."""
        for number in range(WORKERS):
            self.connect(number)
        stuck = set(range(WORKERS))
        while stuck and self.pushes < ROOM:
            before = self.pushes
            for number, member in enumerate(self.members):
                self.begin(member)
                if member.ready:
                    self.step(member, last=False)
                    stuck.discard(number)
            assert self.pushes > before, f"workers {stuck} wait for ever"
        for number in range(WORKERS):
            self.give_up(number)
        assert not self.shard.waiting()
        assert self.applied() | self.dropped == set(self.reached.values())


def machine(name: str, policy: Policy):
    """The schedules of a policy, as a test."""
    made = type(name, (Schedules,), {"policy": policy}).TestCase
    made.settings = settings(deadline=None, max_examples=40, stateful_step_count=40)
    return made


TestAsynchronous = machine("Asynchronous", Policy())
TestNearlyTogether = machine("NearlyTogether", Policy(1))
TestStaleness = machine("Staleness", Policy(3))
TestTogether = machine("Together", Policy(0))
TestQuorum = machine("Quorum", Policy(0, backup_workers=1))
