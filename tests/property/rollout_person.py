"""A person who starts, promotes, abandons and finishes roll-outs by what can be seen."""

from typing import Any

from stream_rnn.rollout.plan import FoldName, Plan
from stream_rnn.rollout.plan_store import BundleBytes
from tests.property.rollout_checker import MODELS


class Person:
    """Acts on the plan of a world."""

    def __init__(self, world: Any) -> None:
        self.world = world

    async def start(self) -> None:
        """Start a roll-out with both bundles, unless one is open."""
        plan = await self.world.plans.read()
        if plan is None or plan.stage == "over":
            for model in MODELS:
                await self.world.plans.put_bundle(model.fingerprint, BundleBytes(b"", b""))
            names = zip(self.world.ids, MODELS, strict=True)
            folds = tuple(FoldName(fold_id=i, fingerprint=m.fingerprint) for i, m in names)
            new = Plan(folds=folds) if plan is None else plan.followed_by(folds, 0, "")
            assert await self.world.plans.write(plan, new)
            self.world.done.append("start")

    async def promote(self) -> None:
        """Promote the fold that is not in charge, or cancel a pending promote."""
        plan, known = await self.world.plans.read(), self.world.log.group
        if plan is None or plan.stage != "open" or known is None or known.fold_id is None:
            return
        pending = plan.pending(0, known.number)
        fold = known.fold_id
        if pending is None or (pending.fold_id == fold and self.world.chance.random() < 0.5):
            fold = next(other for other in self.world.ids if other != known.fold_id)
        origin = self.world.stores[self.world.ids.index(fold)].stored.origin
        if fold != known.fold_id and origin is None:
            return
        seen = origin if self.world.names_origins else None
        await self._request(plan, plan.with_request("promote", 0, fold, known, seen))

    async def abandon(self) -> None:
        """Let the own bundles of the workers take over, if no worker has the fold in charge."""
        plan, known = await self.world.plans.read(), self.world.log.group
        if plan is None or known is None or not known.number or known.fold_id is None:
            return
        if plan.pending(0, known.number) is None and self.world.own == (0, 0):
            await self._request(plan, plan.with_request("abandon", 0, self.world.ids[0], known))

    async def end_roll_out(self) -> None:
        """Finish with the fold in charge, and drop the states of the other one."""
        plan, known = await self.world.plans.read(), self.world.log.group
        if plan is None or plan.stage != "open" or known is None or known.fold_id is None:
            return
        request = plan.requests.get(0)
        if request is not None and request.kind == "finish" and request.number == known.number:
            dropping = plan.with_dropping({0: known})
            assert await self.world.plans.write(plan, dropping)
            store = self.world.stores[1 - self.world.ids.index(known.fold_id)]
            await store.drop_seen(await store.read())
            assert await self.world.plans.write(dropping, dropping.with_end())
            self.world.done.append("finish")
        elif plan.pending(0, known.number) is None:
            await self._request(plan, plan.with_request("finish", 0, known.fold_id, known))

    async def _request(self, seen: Plan, plan: Plan) -> None:
        request = plan.requests[0]
        self.world.checker.asked.add((request.fold_id, request.number, request.origin))
        assert await self.world.plans.write(seen, plan)
        self.world.done.append(request.kind)
