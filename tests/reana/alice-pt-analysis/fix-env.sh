export ALICE_PHYSICS=/opt/alice
