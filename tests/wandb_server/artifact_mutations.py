"""GraphQL's mutations of artifacts that are there: used, described, linked, deleted."""

from typing import Any

from wandb_server.artifact_node import ArtifactNode, CollectionNode, MembershipNode
from wandb_server.artifact_uploads import ArtifactUploads, describe, wanted_aliases
from wandb_server.artifacts import Artifact, Collection
from wandb_server.executor import Args, Refused


class ArtifactMutations(ArtifactUploads):
    """Each method takes the field's `input`."""

    def use_artifact(self, args: Args) -> dict[str, Any]:
        given = args["input"]
        artifact = self._artifact(given["artifactID"])
        project = self._store.make_project(given.get("entityName"), given.get("projectName"))
        run = self._store.runs.get((project.entity, project.name, given["runName"]))
        if run is None:
            raise Refused(f"run {given['runName']} not found")
        if artifact not in run.used:
            run.used.append(artifact)
            artifact.used_by.append(run)
        return {"artifact": ArtifactNode(self._store, artifact)}

    def update_artifact(self, args: Args) -> dict[str, Any]:
        given = args["input"]
        artifact = self._artifact(given["artifactID"])
        describe(artifact, given)
        if given.get("aliases") is not None:
            collection = artifact.collection
            for alias in artifact.aliases:
                if alias != "latest":
                    del collection.aliases[alias]
            artifact.wanted_aliases = wanted_aliases(given["aliases"], collection.name)
            self._store.artifacts.give_aliases(artifact)
        for each in given.get("tagsToAdd") or ():
            if each["tagName"] not in artifact.tags:
                artifact.tags.append(each["tagName"])
        for each in given.get("tagsToDelete") or ():
            if each["tagName"] in artifact.tags:
                artifact.tags.remove(each["tagName"])
        artifact.updated_at = self._store.clock()
        return {"artifact": ArtifactNode(self._store, artifact)}

    def add_aliases(self, args: Args) -> dict[str, Any]:
        artifact = self._artifact(args["input"]["artifactID"])
        for each in args["input"]["aliases"]:
            self._holder(artifact, each).aliases[each["alias"]] = artifact
        return {"success": True}

    def delete_aliases(self, args: Args) -> dict[str, Any]:
        artifact = self._artifact(args["input"]["artifactID"])
        for each in args["input"]["aliases"]:
            aliases = self._holder(artifact, each).aliases
            if aliases.get(each["alias"]) is artifact:
                del aliases[each["alias"]]
        return {"success": True}

    def _holder(self, artifact: Artifact, given: Args) -> Collection:
        of = artifact.collection
        found = self._store.artifacts.collection(
            given.get("entityName") or of.entity,
            given.get("projectName") or of.project,
            given.get("artifactCollectionName") or of.name,
        )
        if found is None:
            raise Refused("artifact collection not found")
        return found

    def delete_artifact(self, args: Args) -> dict[str, Any]:
        """As the real one: a version with aliases goes only if these may go too."""
        given = args["input"]
        artifact = self._artifact(given["artifactID"])
        if any(a != "latest" for a in artifact.aliases) and not given.get("deleteAliases"):
            raise Refused("cannot delete an artifact that has aliases")
        artifact.collection.delete(artifact)
        return {"artifact": ArtifactNode(self._store, artifact)}

    def link_artifact(self, args: Args) -> dict[str, Any]:
        given = args["input"]
        artifact = self._artifact(given.get("artifactID") or given.get("clientID"))
        project = self._store.make_project(given.get("entityName"), given.get("projectName"))
        portfolio = self._store.artifacts.make_collection(
            project.entity,
            project.name,
            given["artifactPortfolioName"],
            artifact.type,
            self._store.clock(),
            portfolio=True,
        )
        index = portfolio.add(artifact)
        for each in given.get("aliases") or ():
            portfolio.aliases[each["alias"]] = artifact
        membership = MembershipNode(self._store, portfolio, artifact)
        return {"versionIndex": index, "artifactMembership": membership}

    def unlink_artifact(self, args: Args) -> dict[str, Any]:
        given = args["input"]
        artifact = self._artifact(given["artifactID"])
        for each in self._store.artifacts.collections:
            if each.id == given["artifactPortfolioID"] and artifact in each.versions:
                each.versions.remove(artifact)
                for alias in each.aliases_of(artifact):
                    del each.aliases[alias]
        return {"success": True}

    def delete_artifact_sequence(self, args: Args) -> dict[str, Any]:
        return self._delete_collection(args["input"]["artifactSequenceID"])

    def delete_artifact_portfolio(self, args: Args) -> dict[str, Any]:
        return self._delete_collection(args["input"]["artifactPortfolioID"])

    def _delete_collection(self, collection_id: str) -> dict[str, Any]:
        every = self._store.artifacts.collections
        for each in every:
            if each.id == collection_id:
                if not each.is_portfolio:
                    for artifact in each.live:
                        each.delete(artifact)
                every.remove(each)
                return {"artifactCollection": CollectionNode(self._store, each)}
        raise Refused("artifact collection not found")
