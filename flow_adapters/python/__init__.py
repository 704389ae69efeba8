"""The Python face of Flow: what `import flow` re-exports."""
